"""Former location of :class:`backends.spark_ml.BackendModel`, to which saved pipelines refer."""

from backends.spark_ml.model import BackendModel

__all__ = ["BackendModel"]
