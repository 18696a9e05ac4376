"""The one line of an error that a person needs."""

import re

#: A Python traceback that Spark carries inside a Java exception ends in the error itself.
_PYTHON_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception|Exit|Interrupt)): (.+)$", re.M)
_LONGEST = 500


def plain_reason(error: BaseException) -> str:
    """Return type and message of ``error``; for an error on an executor, the executor's own."""
    text = str(error)
    if type(error).__module__.startswith(("py4j", "pyspark")):
        inner = [
            match
            for match in _PYTHON_ERROR.finditer(text)
            if match[1] not in ("SparkException", "PythonException", "Py4JJavaError")
        ]
        if inner:
            return f"on an executor: {inner[-1][1]}: {inner[-1][2]}"[:_LONGEST]
    first = text.strip().splitlines()[0] if text.strip() else "no message"
    return f"{type(error).__name__}: {first}"[:_LONGEST]
