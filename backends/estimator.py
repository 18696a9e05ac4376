"""Former location of :mod:`backends.spark_ml`, to which pipelines saved by version 0.1 refer."""

from backends.spark_ml.estimator import BackendEstimator
from backends.spark_ml.model import BackendModel

__all__ = ["BackendEstimator", "BackendModel"]
