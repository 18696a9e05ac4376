"""Exception of the package ``models``."""

from data.errors import SparkdlError


class ModelError(SparkdlError):
    """Raised if a model cannot be built from its specification; the message states a remedy."""
