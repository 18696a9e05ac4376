"""The root of the project's errors, and those of the package ``data``."""

from typing import ClassVar

from data.exit_status import FAILED, WRONG_REQUEST


class SparkdlError(Exception):
    """Root of all errors that a user can resolve; the message says what to do."""

    #: Exit status of a command that ends with this error.
    exit_status: ClassVar[int] = WRONG_REQUEST


class DataError(SparkdlError):
    """A request or a folder that cannot be used; the message says what to do about it."""


class SparkStartError(DataError):
    """Spark's Java process ended or stopped responding before Spark was up."""

    exit_status = FAILED
