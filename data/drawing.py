"""Matplotlib settings for all figures: identical on every machine, with names shown literally."""

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from data.fonts import families_for
from data.names import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST_LABEL = 24  # characters
#: Matplotlib omits labels that begin with an underscore from legends; a hair space prevents this.
_HIDDEN, _HAIR_SPACE = "_", "\u200a"
#: Color of grid lines and of other lines in the background.
GRID = "#d9dde2"
_BACKEND_VARIABLE = "MPLBACKEND"


@contextmanager
def drawing() -> Iterator[None]:
    """Use matplotlib's default settings within the block or the decorated function.

    The user's settings (``matplotlibrc``) are ignored and restored afterwards. Text is not parsed
    for math, because names may contain dollar signs.
    """
    log = logging.getLogger("matplotlib")
    level = log.level
    # Messages on the search for fonts, and for a folder to cache their list, do not concern users.
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
    """Return a figure as PNG; characters that no installed font has are drawn as boxes."""
    return _saved(figure, format="png", dpi=dots_per_inch)


def svg(figure: "Figure", name: str) -> str:
    """Return a figure as an ``svg`` element for a page.

    Text remains text. Black becomes the color of the surrounding text, so that the figure can be
    read on a dark page, and lines of the color `GRID` have the class ``grid``.

    Parameters
    ----------
    figure
        Figure; its background is not drawn.
    name
        Name without spaces, unique in the page, which precedes the IDs of the figure's elements.
    """
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    settings = {"svg.fonttype": "none", "svg.hashsalt": name}
    text = _saved(figure, settings, format="svg", transparent=True, metadata=nothing).decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true"', text, count=1)
    text = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\1{name}-", text)
    text = re.sub(rf'style="([^"]*stroke: {GRID})', r'class="grid" style="\1', text)
    return text.replace("#000000", "currentColor").strip()


def _saved(figure: "Figure", settings: Mapping[str, Any] | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with drawing(), warnings.catch_warnings():
        import matplotlib
        from matplotlib.text import Text

        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        matplotlib.rcParams.update(settings or {})
        texts = figure.findobj(Text)
        families, _ = families_for(text.get_text() for text in texts)
        # For texts that matplotlib creates while it draws the figure.
        matplotlib.rcParams["font.family"] = list(families)
        for text in texts:
            text.set_fontfamily(families)
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def label(name: str, longest: int = _LONGEST_LABEL) -> str:
    """Return a name as a label: truncated, with visible characters, and not hidden in legends."""
    shown = visible(name)
    if len(shown) > longest:
        shown = shown[: longest - 1] + "…"
    return _HAIR_SPACE + shown if shown.startswith(_HIDDEN) else shown


def font_note(names: Iterable[str]) -> str | None:
    """Return a sentence on characters of ``names`` that figures cannot show, or None."""
    with drawing():
        _, missing = families_for(map(label, names))
    if not missing:
        return None
    return (
        f"No installed font has the characters {missing}, which are drawn as boxes in figures: "
        "install a font that has them, for example Noto Sans; the next run uses it."
    )


def _matplotlib() -> Any:
    """Import matplotlib even if ``MPLBACKEND`` names a backend that it does not recognize."""
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
