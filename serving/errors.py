"""Exceptions of the package ``serving``."""

from data.errors import SparkdlError


class ServingError(SparkdlError):
    """Error for a model or an input that cannot be used; the message explains what to do."""


class InputError(ServingError):
    """Error for an input that is not an image, in one line."""
