"""Use of trained networks: prediction of images on the command line, in Spark and as a service."""

from serving.classifier import Classifier, Prediction
from serving.errors import ServingError

__all__ = ["Classifier", "Prediction", "ServingError"]
