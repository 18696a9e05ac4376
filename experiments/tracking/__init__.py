"""The record in MLflow: store, runs, models, and records that are still to be sent to a server."""
