"""Former place of :mod:`backends.spark_ml`; pipelines saved by version 0.1 name it."""

from backends.spark_ml.estimator import BackendEstimator
from backends.spark_ml.model import BackendModel

__all__ = ["BackendEstimator", "BackendModel"]
