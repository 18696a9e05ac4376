"""Base error of the package ``deploy``."""

from data.errors import SparkdlError


class DeployError(SparkdlError):
    """A request that cannot be carried out; the message says what to do."""
