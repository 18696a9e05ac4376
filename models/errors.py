"""The error of the package ``models``."""

from data.errors import SparkdlError


class ModelError(SparkdlError):
    """A model that cannot be built from its specification; the message says what to do."""
