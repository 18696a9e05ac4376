"""The one line of an error that a person needs."""

import re

from experiments.environment import EnvironmentDifferenceError

#: A Python traceback that Spark carries inside a Java exception ends in the error itself.
_PYTHON_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception|Exit|Interrupt)): (.+)$", re.M)
#: An exception of the JVM, or what caused it, or what Spark copied of an executor's.
_JAVA_ERROR = re.compile(r"^(?:: |Caused by: )(?:[\w$]+\.)+(\w+(?:: .+)?)$", re.M)
#: Where Spark says that a task ran.
_PLACE = re.compile(r"\((\S+) executor \w+\)")
_DISK_ERRORS = ("No space left on device", "File too large", "Disk quota exceeded")
_LONGEST = 500


def plain_reason(error: BaseException) -> str:
    """Return type and message of ``error``; of one that came through Spark, its first cause."""
    text = str(error)
    if isinstance(error, EnvironmentDifferenceError):
        return text  # a list, whose every line is needed
    if type(error).__module__.startswith(("py4j", "pyspark")):
        inner = [
            match
            for match in _PYTHON_ERROR.finditer(text)
            if match[1] not in ("SparkException", "PythonException", "Py4JJavaError")
        ]
        if inner:
            return f"on an executor: {inner[-1][1]}: {inner[-1][2]}"[:_LONGEST]
        causes = _JAVA_ERROR.findall(text)
        if causes:
            return f"in Spark: {causes[-1]}{_advice(text, causes[-1])}"[:_LONGEST]
    first = text.strip().splitlines()[0] if text.strip() else "no message"
    return f"{type(error).__name__}: {first}"[:_LONGEST]


def _advice(text: str, cause: str) -> str:
    """Return what to do about a disk that takes no more, and whose it is."""
    places = _PLACE.findall(text)
    if not places or not any(error in cause for error in _DISK_ERRORS):
        return ""
    return f": free the disk of worker {places[-1]}, or give it another in SPARK_LOCAL_DIRS"
