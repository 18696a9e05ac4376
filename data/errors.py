"""Base class of the project's errors, and the errors of the package ``data``."""

from typing import ClassVar

from data.exit_status import FAILED, WRONG_REQUEST


class SparkdlError(Exception):
    """Base class of all errors that a user can resolve; the message explains how."""

    #: Exit status of a command that fails with this error.
    exit_status: ClassVar[int] = WRONG_REQUEST


class DataError(SparkdlError):
    """Error for a request or a folder that cannot be used; the message explains what to do."""


class SparkStartError(DataError):
    """Error for a Java process of Spark that ended or stopped responding before Spark was up."""

    exit_status = FAILED
