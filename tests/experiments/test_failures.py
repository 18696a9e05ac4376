import subprocess
from types import SimpleNamespace

import pytest

from data.failures import spark_cause
from experiments.runs.failures import plain_reason


class GatewayError(Exception):
    """Resembles py4j's error, of which only the text is available."""


GatewayError.__module__ = "py4j.protocol"

STAGE_FAILED = """An error occurred while calling o1086.optimize.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed
\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2844)
Caused by: java.lang.OutOfMemoryError: Java heap space
\tat com.example.Network.forward(Network.scala:12)
"""


def test_own_error_is_told_by_type_and_first_line() -> None:
    assert plain_reason(ValueError("no such part\nmore")) == "ValueError: no such part"


def test_error_of_the_jvm_is_told_by_its_first_cause() -> None:
    reason = plain_reason(GatewayError(STAGE_FAILED))
    assert reason == "in Spark: OutOfMemoryError: Java heap space"


def test_error_of_the_jvm_without_a_message_is_told_by_its_type() -> None:
    text = "An error occurred while calling o1.x.\n: java.lang.NullPointerException\n\tat a.B.c\n"
    assert plain_reason(GatewayError(text)) == "in Spark: NullPointerException"


def test_error_of_python_on_an_executor_is_preferred() -> None:
    text = f"{STAGE_FAILED}Traceback (most recent call last):\nValueError: 3 channels expected\n"
    assert plain_reason(GatewayError(text)) == "on an executor: ValueError: 3 channels expected"


def test_full_disk_is_told_with_whose_it_is() -> None:
    lost = "Lost task 0.3 in stage 5.0 (TID 9) (10.1.2.3 executor 1): java.io.IOException"
    text = f"{STAGE_FAILED}{lost}\nCaused by: java.io.IOException: No space left on device\n"
    reason = plain_reason(GatewayError(text))
    assert reason == (
        "in Spark: IOException: No space left on device: free the disk of worker 10.1.2.3, or give "
        "it another in SPARK_LOCAL_DIRS"
    )


def test_full_disk_of_this_machine_is_told_with_the_variable_that_counts() -> None:
    """Executors of an embedded cluster store their files in the temporary folder."""
    lost = "Lost task 0.3 in stage 5.0 (TID 9) (127.0.0.1 executor 1): java.io.IOException"
    text = f"{STAGE_FAILED}{lost}\nCaused by: java.io.IOException: No space left on device\n"
    assert plain_reason(GatewayError(text)) == (
        "in Spark: IOException: No space left on device: free the disk of temporary files, or name "
        "a folder on another one in TMPDIR"
    )


def test_full_disk_of_the_driver_is_told_with_the_same_variable() -> None:
    text = (
        "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
        ": org.apache.spark.SparkException: Job aborted due to stage failure: Task serialization "
        "failed: java.nio.file.FileSystemException: /tmp/0d: No space left on device\n\tat a.B.c\n"
    )
    reason = plain_reason(GatewayError(text))
    assert "No space left on device: free the disk of temporary files" in reason
    assert spark_cause(text) == reason
    assert spark_cause("worker 1 died") is None


@pytest.mark.slow
def test_end_of_the_java_process_is_told_whatever_it_has_caused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pyspark import SparkContext

    with subprocess.Popen(["sleep", "60"]) as java:
        monkeypatch.setattr(SparkContext, "_gateway", SimpleNamespace(proc=java))
        lost = RuntimeError("worker 1 died")
        assert plain_reason(lost) == "RuntimeError: worker 1 died"
        java.kill()
        assert plain_reason(lost).startswith("the driver's Java process was ended by SIGKILL (is")
    with subprocess.Popen(["false"]) as java:
        monkeypatch.setattr(SparkContext, "_gateway", SimpleNamespace(proc=java))
        assert "process ended with status 1; '--resume'" in plain_reason(lost)
