"""Stages of Spark ML pipelines: an estimator that trains with any backend, and a featurizer.

>>> from backends.spark_ml import BackendEstimator, DeepImageFeaturizer
"""

from backends.spark_ml.estimator import BackendEstimator
from backends.spark_ml.featurizer import DeepImageFeaturizer
from backends.spark_ml.model import BackendModel

__all__ = ["BackendEstimator", "BackendModel", "DeepImageFeaturizer"]
