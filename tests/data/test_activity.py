"""Progress is shown at regular intervals, in a terminal and in a pipe."""

import io
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from data.activity import Activity, duration


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nothing was printed"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (70, "1 min 10 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_duration_is_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_silence_of_a_pipe_is_broken_with_what_is_done() -> None:
    text = io.StringIO()
    with Activity(
        Console(file=text, width=80), silence=0.02, outlook=lambda: "about 4 min remain"
    ) as (activity):
        activity.begin("starting", "elephas")
        activity.update("training", "epoch 2/5")
        activity.progress(1, 5, "loss 0.5")
        wait_for(lambda: "training" in text.getvalue())
    line = next(line for line in text.getvalue().splitlines() if "training" in line)
    assert line.startswith("  elephas: training, epoch 2/5")
    assert line.endswith("0 s, about 4 min remain")
    printed = text.getvalue()
    time.sleep(0.1)
    assert text.getvalue() == printed, "nothing is printed after the end"


def test_lines_of_others_are_no_silence() -> None:
    text = io.StringIO()
    with Activity(Console(file=text, width=80), silence=0.3) as activity:
        activity.begin("training")
        for _ in range(10):
            time.sleep(0.05)
            activity.printed()
    assert text.getvalue() == ""


def test_line_of_a_terminal_moves_and_leaves_nothing() -> None:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, _environ={"TERM": "xterm"})
    with Activity(console, silence=0.01) as activity:
        activity.begin("opening the data")
        activity.update("training", "epoch 2/5")
        wait_for(lambda: text.getvalue().count("epoch 2/5") > 1)
        assert "0:00:0" in text.getvalue()
    assert not activity.line().endswith("remain")
    assert "\n  training" not in text.getvalue(), "no line for pipes"
    assert text.getvalue().endswith("\x1b[2K"), "the moving line is wiped"
