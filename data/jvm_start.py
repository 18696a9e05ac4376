"""Whether a Java process that is starting will ever be up, and what it says where it will not.

Spark waits without limit for a process that is alive. A Java process lives on when its main thread
has died of an exception, as long as another thread runs; it may hang on a lock or a file system; or
it may be stopped. Here a start is given up as soon as that is certain, and never for slowness
alone before a long limit: on a busy machine a healthy start takes half a minute.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

#: Seconds within which a Java process of Spark must be up; it takes about three on a quiet machine.
START_LIMIT = 120.0
#: Seconds with less work than :data:`_WORK` after which a process is taken to hang.
HANG_LIMIT = 20.0
#: CPU seconds. An idle Java process uses 0.02 to 0.06 in HANG_LIMIT; one that starts on a machine
#: with a hundred busy processes for each core 0.2.
_WORK = 0.12
#: Seconds that a process may live on, and write, after its main thread has died.
_LAST_WORDS = 1.0
#: Seconds between two looks after which this process itself is taken to have been stopped.
_ASLEEP = 5.0
_MAIN_DIED = re.compile(r'^Exception in thread "main" (.+)$', re.M)
_CAUSE = re.compile(r"^Caused by: (.+)$", re.M)
#: What Java and Spark's scripts say when nothing starts at all.
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
    """Looks at a process of Spark that is starting.

    Parameters
    ----------
    process
        Spark's script, which becomes the Java process.
    read
        Returns what the process has written so far.
    """

    def __init__(self, process: subprocess.Popen, read: Callable[[], str]) -> None:
        self._process, self._read = process, read
        self._began = self._looked = self._worked = time.monotonic()
        self._cpu = 0.0
        self._died: float | None = None

    def problem(self) -> str | None:
        """Return why the process will not be up, or None while it may be."""
        now, text = time.monotonic(), self._read()
        if now - self._looked > _ASLEEP:
            self._worked = now  # both may have been stopped, as by Ctrl-Z
        self._looked = now
        if self._process.poll() is not None:
            status = self._process.returncode
            return f"Java ended with status {status} before Spark was up: {reason(text)}"
        if _MAIN_DIED.search(text):
            self._died = self._died or now
            if now - self._died > _LAST_WORDS:
                return f"Java failed before Spark was up: {reason(text)}"
            return None
        used = _cpu_seconds(self._process.pid)
        if abs(used - self._cpu) > _WORK:
            self._cpu, self._worked = used, now
        if now - self._worked > HANG_LIMIT:
            return f"Java hangs: it has done nothing for {HANG_LIMIT:g} s; {reason(text)}"
        if now - self._began > START_LIMIT:
            return f"Java did not bring Spark up within {START_LIMIT:g} s; {reason(text)}"
        return None


def reason(text: str) -> str:
    """Return the line of a Java process's output that says why it failed."""
    if died := _MAIN_DIED.search(text):
        causes = _CAUSE.findall(text, died.end())
        said = causes[-1] if causes else died[1]
    elif refusals := _REFUSAL.findall(text):
        said = refusals[0]
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        said = lines[-1] if lines else "it wrote nothing"
    return f"{said[:_LONGEST]}{_advice(text)}"


def _advice(text: str) -> str:
    """Return what to do about a limit that the operating system has set, or about an option."""
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
    """Return what reads the file ``log`` from the byte ``start`` on."""

    def read() -> str:
        with log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    return read


def _cpu_seconds(pid: int) -> float:
    """Return what a process and its descendants have used, those that have ended included."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total
