"""Former place of :class:`backends.spark_ml.DeepImageFeaturizer`; saved pipelines name it."""

from backends.spark_ml.featurizer import DeepImageFeaturizer

__all__ = ["DeepImageFeaturizer"]
