"""The error of the package ``backends``."""

from data.errors import SparkdlError


class BackendError(SparkdlError):
    """A backend that is unknown, not installed or could not train; the message says what to do."""
