"""One-line summaries of failed Spark jobs and processes."""

import re
import signal
import subprocess
import sys

#: Last line of a Python traceback that Spark includes in a Java exception.
_PYTHON_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception|Exit|Interrupt)): (.+)$", re.M)
#: An exception of the JVM, its cause, or an executor's exception that Spark copied.
_JAVA_ERROR = re.compile(r"^(?:: |Caused by: )(?:[\w$]+\.)+(\w+(?:: .+)?)$", re.M)
#: Addresses of this machine.
_HERE = ("127.0.0.1", "localhost")
#: Host of a failed task in Spark's message.
_PLACE = re.compile(r"\((\S+) executor \w+\)")
_DISK_ERRORS = ("No space left on device", "File too large", "Disk quota exceeded")
_LONGEST = 500
#: Seconds to wait for the exit of a Java process that no longer responds.
_JAVA_ENDS = 1.0


def job_failure(error: BaseException) -> str:
    """Return type and message of ``error`` or, for an error from Spark, of its root cause."""
    if (status := java_status()) is not None:
        return how_ended("the driver's Java process", status)  # all other errors follow from it
    text = str(error)
    if type(error).__module__.startswith(("py4j", "pyspark")) and (cause := spark_cause(text)):
        return cause
    first = text.strip().splitlines()[0] if text.strip() else "no message"
    return f"{type(error).__name__}: {first}"[:_LONGEST]


def spark_cause(text: str) -> str | None:
    """Return the root cause in the text of an error from Spark, or None if it contains none."""
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
    return None


def how_ended(process: str, status: int) -> str:
    """Describe how ``process`` ended.

    Parameters
    ----------
    process
        Short description of the process, such as "the driver's Java process".
    status
        Exit status as in :attr:`subprocess.Popen.returncode`: negative for the number of a signal.
    """
    end = f"{process} ended with status {status}"
    if status < 0:
        end = f"{process} was ended by {signal.Signals(-status).name}"
    if status == -signal.SIGKILL:
        end += " (is the machine short of memory? See its kernel's log)"
    return end


def java_status() -> int | None:
    """Return the exit status of the driver's Java process, or None while it runs."""
    if "pyspark" not in sys.modules:
        return None
    from pyspark import SparkContext

    process = getattr(SparkContext._gateway, "proc", None)
    try:
        return int(process.wait(_JAVA_ENDS)) if process else None
    except subprocess.TimeoutExpired:
        return None


def _advice(text: str, cause: str) -> str:
    """Return advice for a full disk, naming the machine it belongs to; empty for other errors."""
    if not any(error in cause for error in _DISK_ERRORS):
        return ""
    places = _PLACE.findall(text)
    if not places or places[-1] in _HERE:  # without a place, it was the driver
        return ": free the disk of temporary files, or name a folder on another one in TMPDIR"
    return f": free the disk of worker {places[-1]}, or give it another in SPARK_LOCAL_DIRS"
