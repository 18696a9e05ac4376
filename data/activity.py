"""Progress display: a live status line in a terminal, periodic log lines elsewhere."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

#: Seconds without output after which a line is printed where the output is not a terminal.
SILENCE = 20.0
#: Seconds between two checks of the clock.
_POLL_SECONDS = 0.5
#: Minimum width of a terminal in which a bar is drawn next to the text, and the bar's own width.
_WIDE, _BAR = 100, 24


def duration(seconds: float) -> str:
    """Return a duration in words: ``40 s``, ``1 min 10 s`` or ``2 h 5 min``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


class Activity:
    """Status display for the current step on ``console``.

    In a terminal, a line with a spinner and the elapsed time is shown below the printed output.
    Elsewhere, a thread prints a line when nothing else was printed for ``silence`` seconds.

    Parameters
    ----------
    console
        Console on which everything else is printed too.
    silence
        Seconds without output before a status line is printed.
    outlook
        Callable that returns a short description of the remaining work, or an empty string.
    """

    def __init__(
        self,
        console: Console,
        *,
        silence: float = SILENCE,
        outlook: Callable[[], str] = lambda: "",
    ) -> None:
        self._console, self._silence, self._outlook = console, silence, outlook
        self._moving = console.is_terminal and not console.is_dumb_terminal
        self._progress: Progress | None = None
        self._over: threading.Event | None = None
        self._subject = self._what = self._detail = self._text = ""
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> "Activity":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def begin(self, what: str, subject: str = "") -> None:
        """Show ``what`` from now on and restart the clock.

        Parameters
        ----------
        what
            Current step.
        subject
            Prefix of the lines printed outside a terminal, such as the name of a backend. It is
            omitted in a terminal, where the output above the status line names the subject.
        """
        self._began = self._printed = time.monotonic()
        self._subject, self._what, self._detail, self._text = subject, what, "", ""
        if self._moving:
            self._begin_moving()
        elif self._over is None:
            self._over = threading.Event()
            watcher = threading.Thread(
                target=self._report, args=(self._over,), name="activity", daemon=True
            )
            watcher.start()

    def update(self, what: str, detail: str = "") -> None:
        """Show ``what`` and ``detail`` from now on without restarting the clock."""
        self._what, self._detail = what, detail
        if self._progress:
            self._progress.update(self._progress.task_ids[0], description=detail or what)

    def progress(self, done: float, total: float, text: str) -> None:
        """Show ``text`` and, if the terminal is wide enough, ``done`` of ``total`` as a bar."""
        self._text = text
        if self._progress:
            task = self._progress.task_ids[0]
            self._progress.update(task, completed=done, total=total, text=text)

    def printed(self) -> None:
        """Record that a line was printed, which restarts the ``silence`` interval."""
        self._printed = time.monotonic()

    def end(self) -> None:
        """Stop the display and release the terminal; calling it again has no effect."""
        if self._progress:
            self._progress.stop()
            self._progress = None
        if self._over:
            self._over.set()
            self._over = None

    @property
    def seconds(self) -> float:
        """Seconds since the last call of `begin`."""
        return time.monotonic() - self._began

    def line(self) -> str:
        """Return the status as a self-contained line."""
        subject = f"{self._subject}: " if self._subject else ""
        parts = [self._what, self._detail, self._text, duration(self.seconds), self._outlook()]
        return subject + ", ".join(filter(None, parts))

    def _begin_moving(self) -> None:
        if self._progress is None:
            bar = [BarColumn(bar_width=_BAR)] if self._console.width >= _WIDE else []
            self._progress = Progress(
                TextColumn(" "),
                SpinnerColumn("line"),
                TextColumn("{task.description}", markup=False),
                *bar,
                TextColumn("{task.fields[text]}", markup=False),
                TimeElapsedColumn(),
                _Outlook(self._outlook),
                console=self._console,
                transient=True,
            )
            self._progress.start()
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.add_task(self._what, total=None, text="")

    def _report(self, over: threading.Event) -> None:
        while not over.wait(min(_POLL_SECONDS, self._silence)):
            if time.monotonic() - self._printed >= self._silence:
                self._printed = time.monotonic()
                with suppress(OSError, ValueError):  # the output was closed
                    self._console.print(f"  {self.line()}", soft_wrap=True)


class _Outlook(ProgressColumn):
    """Column with the description of the remaining work, refreshed once per second."""

    max_refresh = 1.0

    def __init__(self, outlook: Callable[[], str]) -> None:
        super().__init__()
        self._words = outlook

    def render(self, task: Task) -> Text:
        """Return the current description."""
        return Text(self._words())
