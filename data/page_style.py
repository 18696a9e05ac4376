"""Style and script shared by the HTML pages, which need no other file."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

_FOLDER = Path(__file__).parent


def style() -> "Markup":
    """Return the style sheet: light and dark, narrow and wide screens, and print."""
    return _text("page.css")


def script() -> "Markup":
    """Return the script that enlarges a figure or an image in the element ``#enlarged``.

    A button of the class ``zoom`` opens it by mouse or keyboard; Escape closes it.
    """
    return _text("page.js")


def _text(name: str) -> "Markup":
    from markupsafe import Markup

    return Markup((_FOLDER / name).read_text())
