"""Matplotlib as every picture uses it: the same on all machines, with names as they are written."""

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from data.fonts import families_for
from data.names import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST_LABEL = 24  # characters
#: Matplotlib leaves names that begin with an underscore out of legends.
_HIDDEN, _HAIR_SPACE = "_", "\u200a"
_BACKEND_VARIABLE = "MPLBACKEND"


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the block, or in the function decorated with it, with matplotlib's own settings.

    Those of the user (``matplotlibrc``) do not count and are back afterwards. No text is read as
    a formula: names may hold dollar signs.
    """
    log = logging.getLogger("matplotlib")
    level = log.level
    # The search for fonts, and for a folder to keep their list in, is no news for a user.
    log.setLevel(logging.ERROR)
    try:
        matplotlib = _matplotlib()
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams["text.parse_math"] = False
            yield
    finally:
        log.setLevel(level)


def png(figure: "Figure", dots_per_inch: int) -> bytes:
    """Return a figure as PNG; letters that no installed font has become boxes."""
    buffer = io.BytesIO()
    with drawing(), warnings.catch_warnings():
        import matplotlib
        from matplotlib.text import Text

        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        texts = figure.findobj(Text)
        families, _ = families_for(text.get_text() for text in texts)
        # For texts that are made while the figure is drawn.
        matplotlib.rcParams["font.family"] = list(families)
        for text in texts:
            text.set_fontfamily(families)
        figure.savefig(buffer, format="png", dpi=dots_per_inch)
    return buffer.getvalue()


def label(name: str, longest: int = _LONGEST_LABEL) -> str:
    """Return a name as a picture shows it: of few characters, visible, in a legend too."""
    shown = visible(name)
    if len(shown) > longest:
        shown = shown[: longest - 1] + "…"
    return _HAIR_SPACE + shown if shown.startswith(_HIDDEN) else shown


def font_note(names: Iterable[str]) -> str | None:
    """Return a sentence about letters of ``names`` that pictures cannot show, or None."""
    with drawing():
        _, missing = families_for(map(label, names))
    if not missing:
        return None
    return (
        f"No installed font has the letters {missing}, which are boxes in pictures: a font that "
        "has them, for example Noto Sans, shows them from the next run on."
    )


def _matplotlib() -> Any:
    """Import matplotlib, which a backend for screens that it does not know would prevent."""
    backend = os.environ.pop(_BACKEND_VARIABLE, None)
    try:
        first = "matplotlib" not in sys.modules
        import matplotlib
    finally:
        if backend is not None:
            os.environ[_BACKEND_VARIABLE] = backend
    if first and backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    return matplotlib
