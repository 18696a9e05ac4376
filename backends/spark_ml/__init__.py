"""Stages of Spark ML pipelines: any backend as an estimator, and the featurizer.

>>> from backends.spark_ml import BackendEstimator, DeepImageFeaturizer
"""

from backends.spark_ml.estimator import BackendEstimator
from backends.spark_ml.featurizer import DeepImageFeaturizer
from backends.spark_ml.model import BackendModel

__all__ = ["BackendEstimator", "BackendModel", "DeepImageFeaturizer"]
