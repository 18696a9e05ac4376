"""The record in MLflow: store, runs, models, and records that wait for a server."""
