"""Exception raised by the package ``experiments``."""

from data.errors import SparkdlError


class ExperimentError(SparkdlError):
    """Raised when a request cannot be carried out; the message states what to do."""
