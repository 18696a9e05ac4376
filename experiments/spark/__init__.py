"""Spark in a run: embedded cluster, session, shipped code and secrets."""
