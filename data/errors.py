"""The one error a user of the data room meets."""


class DataError(Exception):
    """A request or a folder that cannot be used; the message says what to do about it."""


class SparkStartError(DataError):
    """Spark's Java process has ended or hangs before Spark was up; the message has its words."""
