"""Runs outside the local process: containers, Spark clusters and cloud services."""
