"""A Java process that cannot start ends the start quickly, with its own error message."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pyspark import SparkConf

from data import jvm_start
from data.errors import SparkStartError
from data.jvm import spark_jvm, temporary_option
from data.jvm_start import StartWatch, reader, reason

DIED = 'Exception in thread "main" java.nio.file.InvalidPathException: Malformed input: /tmp/t-?'
BUSY = f"{sys.executable} -c 'while True: pass'"


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Create a Spark home with the start script ``content``; return an environment for it."""

    def make(content: str) -> dict[str, str]:
        path = tmp_path / "bin" / "spark-submit"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{content}\n")
        path.chmod(0o755)
        return {"SPARK_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"echo '{DIED}' >&2; sleep 600", "InvalidPathException: Malformed input"),
        ("echo 'Unrecognized VM option Xfoo' >&2; exit 1", "status 1.*Unrecognized VM option"),
        ("exit 0", "status 0.*it wrote nothing"),
        ("sleep 600", "hangs.*idle for 1 s"),
        (BUSY, "not start Spark within 3 s"),
    ],
)
def test_start_that_fails_or_hangs_ends_soon_and_leaves_no_process(
    script: Callable[[str], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    words: str,
) -> None:
    # While many tests run, a working process may get little CPU for a second.
    monkeypatch.setattr(jvm_start, "HANG_LIMIT", 20.0 if content == BUSY else 1.0)
    monkeypatch.setattr(jvm_start, "START_LIMIT", 3.0)
    monkeypatch.setattr("pyspark.SparkContext._gateway", None)
    began = time.monotonic()
    with pytest.raises(SparkStartError, match=words), spark_jvm(SparkConf(False), script(content)):
        pytest.fail("Spark was taken to be up")
    assert time.monotonic() - began < 15
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_pause_of_both_processes_is_not_taken_for_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.touch()
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with subprocess.Popen(["sleep", "600"]) as process:
        watch = StartWatch(process, reader(log))
        clock[0] = 60.0  # as after Ctrl-Z
        assert watch.problem() is None
        for clock[0] in range(61, 80):
            assert watch.problem() is None
        clock[0] = 81.0
        assert "has been idle" in str(watch.problem())
        process.kill()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"WARN x\n{DIED}\n\tat java.base\nCaused by: java.io.IOException: b\n", "IOException: b"),
        ("Error: Could not create the Java Virtual Machine.\nlast\n", "Error: Could not create"),
        ("spark-class: fork: Resource temporarily unavailable\n", "'ulimit -u'"),
        ("x: Too many open files\nspark-class: line 97: CMD: bad array subscript\n", "'ulimit -n'"),
        ("one\ntwo\n", "two"),
    ],
)
def test_reason_is_the_line_that_says_it(text: str, said: str) -> None:
    assert said in reason(text)


def test_folder_for_temporary_files_may_have_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", '/tmp/a "b" \\ c')
    assert temporary_option() == r'"-Djava.io.tmpdir=/tmp/a \"b\" \\ c"'
