"""Detection of a Java process that fails to start, and the reason in its output.

Spark waits without limit as long as the process is alive. A Java process whose main thread has died
of an exception stays alive as long as another thread runs; it may also hang on a lock or a file
system, or be stopped. Here a start is aborted as soon as failure is certain. Slowness alone leads
to an abort only after a long limit: on a busy machine, a healthy start takes half a minute.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

#: Seconds within which Spark's Java process must be up; it takes about three on an idle machine.
START_LIMIT = 120.0
#: Seconds with less CPU time than :data:`_WORK` after which a process is considered to hang.
HANG_LIMIT = 20.0
#: CPU seconds. An idle Java process uses 0.02 to 0.06 during HANG_LIMIT; a starting one on a
#: machine with a hundred busy processes per core uses 0.2.
_WORK = 0.12
#: Seconds for which output is still collected after the main thread has died.
_LAST_OUTPUT = 1.0
#: Seconds between two polls after which this process itself is assumed to have been stopped.
_ASLEEP = 5.0
_MAIN_DIED = re.compile(r'^Exception in thread "main" (.+)$', re.M)
_CAUSE = re.compile(r"^Caused by: (.+)$", re.M)
#: Messages of Java and of Spark's scripts if Java cannot start at all.
_REFUSAL = re.compile(
    r"^(?:Error[: ].*|Improperly .*|Unrecognized .*|Invalid .*|Could not .*|.*OutOfMemoryError.*"
    r"|.*cannot fork.*"
    r"|.*[Tt]oo many open files.*|.*Resource temporarily unavailable.*|.*No space left on device.*"
    r"|.*Failed to (?:create|map|reserve|start).*)$",
    re.M,
)
_TOO_MANY_PROCESSES = (
    "unable to create native thread",
    "failed to create thread",
    "fork: resource temporarily unavailable",
    "cannot fork",
)
_LONGEST = 400


class StartWatch:
    """Monitor of a starting Spark process.

    Parameters
    ----------
    process
        Process of Spark's script, which becomes the Java process.
    read
        Callable that returns the output of the process so far.
    """

    def __init__(self, process: subprocess.Popen, read: Callable[[], str]) -> None:
        self._process, self._read = process, read
        self._began = self._polled = self._worked = time.monotonic()
        self._cpu = 0.0
        self._died: float | None = None

    def problem(self) -> str | None:
        """Return why the start has failed, or None while it may still succeed."""
        now, text = time.monotonic(), self._read()
        if now - self._polled > _ASLEEP:
            self._worked = now  # both processes may have been stopped, for example by Ctrl-Z
        self._polled = now
        if self._process.poll() is not None:
            status = self._process.returncode
            return f"Java ended with status {status} before Spark was up: {reason(text)}"
        if _MAIN_DIED.search(text):
            self._died = self._died or now
            if now - self._died > _LAST_OUTPUT:
                return f"Java failed before Spark was up: {reason(text)}"
            return None
        used = _cpu_seconds(self._process.pid)
        if abs(used - self._cpu) > _WORK:
            self._cpu, self._worked = used, now
        if now - self._worked > HANG_LIMIT:
            return f"Java hangs: it has been idle for {HANG_LIMIT:g} s; {reason(text)}"
        if now - self._began > START_LIMIT:
            return f"Java did not start Spark within {START_LIMIT:g} s; {reason(text)}"
        return None


def reason(text: str) -> str:
    """Return the line of a Java process's output that gives the reason for its failure."""
    if died := _MAIN_DIED.search(text):
        causes = _CAUSE.findall(text, died.end())
        found = causes[-1] if causes else died[1]
    elif refusals := _REFUSAL.findall(text):
        found = refusals[0]
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        found = lines[-1] if lines else "it wrote nothing"
    return f"{found[:_LONGEST]}{_advice(text)}"


def _advice(text: str) -> str:
    """Return advice on a limit of the operating system or on an invalid option of Java."""
    lower = text.lower()
    if "too many open files" in lower:
        return "; raise the limit of open files ('ulimit -n')"
    if any(sign in lower for sign in _TOO_MANY_PROCESSES):
        return "; raise the limit of processes ('ulimit -u') or of memory"
    if "no space left" in lower:
        return "; free space there, or name another folder in TMPDIR"
    if "java virtual machine" in lower and (options := os.environ.get("JDK_JAVA_OPTIONS")):
        return f"; JDK_JAVA_OPTIONS is '{options}'"
    return ""


def reader(log: Path, start: int = 0) -> Callable[[], str]:
    """Return a function that reads the file ``log`` from byte ``start`` on."""

    def read() -> str:
        with log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    return read


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, including those that have ended."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total
