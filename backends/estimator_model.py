"""Former place of :class:`backends.spark_ml.BackendModel`, for saved pipelines."""

from backends.spark_ml.model import BackendModel

__all__ = ["BackendModel"]
