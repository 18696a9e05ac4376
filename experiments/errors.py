"""The error of the package ``experiments``."""

from data.errors import SparkdlError


class ExperimentError(SparkdlError):
    """A request that cannot be carried out; the message says what to do."""
