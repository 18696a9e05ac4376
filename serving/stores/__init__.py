"""Records of trained models: registered versions and runs, read from an MLflow store."""

from serving.stores.base import ModelStore, RecordedRun, Version
from serving.stores.opening import open_store

__all__ = ["ModelStore", "RecordedRun", "Version", "open_store"]
