"""Figures: names are drawn unchanged, and the result is the same on every machine."""

import logging
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from data.drawing import drawing, font_note, label, png
from data.fonts import USUAL, _families_for, families_for

_NAMES = ("a$b$", "$a$", r"\alpha", "x^{2}_1", "%", "黒色腫", "모반", "مرض", "👍", "a\nb")
#: A letter that is missing in matplotlib's default font but included in another bundled font.
_RARE = "ᶁ"


@drawing()
def _figure(names: tuple[str, ...] = _NAMES) -> Figure:
    figure = Figure()
    axes = figure.subplots()
    axes.set_xticks(range(len(names)), [label(name) for name in names])
    for name in names:
        axes.plot([0], [0], label=label(name))
    axes.legend()
    axes.set_title(names[0])
    return figure


@pytest.mark.slow
def test_names_are_drawn_as_they_are_and_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = _figure()
        assert png(figure, 50).startswith(b"\x89PNG")
    assert not any(text.get_parse_math() for text in figure.findobj(Text) if text.get_text())
    assert not caplog.records


def test_name_that_begins_with_an_underscore_is_in_the_legend() -> None:
    legend = _figure(("_other", "nevus")).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_other", "nevus"]


@pytest.mark.slow
def test_settings_of_the_user_decide_no_picture_and_are_back_afterwards() -> None:
    plain = png(_figure(), 50)
    level = logging.getLogger("matplotlib").level
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "red", "font.size": 40}):
        assert png(_figure(), 50) == plain
        assert matplotlib.rcParams["text.usetex"]
    assert logging.getLogger("matplotlib").level == level


@pytest.mark.slow
def test_backend_that_is_unknown_stops_no_picture() -> None:
    program = "from data.drawing import drawing\nwith drawing(): import matplotlib.figure"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MPLBACKEND": "nonsense"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_letters_that_the_usual_font_lacks_are_written_with_one_that_has_them() -> None:
    families, missing = families_for(["nevus", _RARE])
    assert families[0] == USUAL
    assert (len(families), missing) == (2, "")
    assert families_for(["nevus", "naïve", "مرض"]) == ((USUAL,), "")


def test_font_that_was_installed_since_the_list_was_made_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = shutil.copy(font_manager.findfont("STIXGeneral"), tmp_path / "new.ttf")
    _only_the_usual_font(monkeypatch)
    assert families_for([_RARE]) == ((USUAL,), _RARE)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(new)])
    _families_for.cache_clear()
    assert families_for([_RARE]) == ((USUAL, "STIXGeneral"), "")
    _families_for.cache_clear()


def test_letters_that_no_font_has_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _only_the_usual_font(monkeypatch)
    note = font_note(["nevus", "黒色腫", "黒"]) or ""
    assert note.startswith("No installed font has the characters 腫色黒,")
    assert font_note(["nevus", "naïve"]) is None
    _families_for.cache_clear()


def _only_the_usual_font(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [font for font in font_manager.fontManager.ttflist if font.name == USUAL]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", usual)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    _families_for.cache_clear()
