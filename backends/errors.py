"""Exception of the package ``backends``."""

from data.errors import SparkdlError


class BackendError(SparkdlError):
    """Raised when a backend is unknown, not installed or cannot train.

    The message states what to do.
    """
