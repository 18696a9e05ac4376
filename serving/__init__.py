"""Use of trained networks: prediction of images on the command line, in Spark and as a service."""

from typing import TYPE_CHECKING, Any

from serving.classifier import Classifier, Prediction
from serving.errors import ServingError

if TYPE_CHECKING:
    from serving.spark.functions import classify_udf, register_udf

__all__ = ["Classifier", "Prediction", "ServingError", "classify_udf", "register_udf"]


def __getattr__(name: str) -> Any:
    """Import the functions for Spark when they are first used."""
    if name in ("classify_udf", "register_udf"):
        from serving.spark import functions

        return getattr(functions, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
