"""The Spark side of a run: embedded cluster, session, shipped code and secrets."""
