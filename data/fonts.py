"""Fonts that have the letters of a name, among those that are installed."""

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

#: Comes with matplotlib, so it is there everywhere.
USUAL = "DejaVu Sans"
#: Has a box for every letter, which tells a reader nothing.
_BOXES = "Last Resort"
_REGULAR = 400


def families_for(texts: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """Return families of fonts to write ``texts`` with, and the letters that none of them has.

    The first family is the usual one; the others are the fewest that have what it lacks.
    """
    letters = {letter for text in texts for letter in text if not letter.isspace()}
    return _families_for(frozenset(letters))


@lru_cache
def _families_for(letters: frozenset[str]) -> tuple[tuple[str, ...], str]:
    found = _entries()
    families, missing = [USUAL], letters - _covered(found[USUAL], letters)
    if missing and _read_new_fonts():
        found = _entries()
    covered = {name: _covered(font, missing) for name, font in found.items()} if missing else {}
    while missing:
        # Among families with equally many letters, one without serifs comes first.
        best = max(sorted(covered), key=lambda name: (len(covered[name] & missing), "Sans" in name))
        if not covered[best] & missing:
            break
        families.append(best)
        missing -= covered[best]
    return tuple(families), "".join(sorted(missing))


def _entries() -> "dict[str, FontEntry]":
    """Return the most regular of the upright fonts of each family."""
    from matplotlib.font_manager import fontManager

    fonts = [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith(_BOXES)
    ]
    fonts.sort(key=lambda font: abs(_weight(font) - _REGULAR), reverse=True)
    return {font.name: font for font in fonts}


def _weight(font: "FontEntry") -> int:
    from matplotlib.font_manager import weight_dict

    return font.weight if isinstance(font.weight, int) else weight_dict[font.weight]


def _read_new_fonts() -> bool:
    """Add fonts that were installed since matplotlib made its list; tell whether there are any."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    new = {*findSystemFonts()} - {font.fname for font in fontManager.ttflist}
    for path in sorted(new):
        with suppress(Exception):  # a file that is no font, or one that cannot be scaled
            fontManager.addfont(path)
    return bool(new)


def _covered(font: "FontEntry", letters: Iterable[str]) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    with suppress(OSError, RuntimeError):  # uninstalled since the list was made, or damaged
        face = FT2Font(font.fname, face_index=font.index)
        return frozenset(letter for letter in letters if face.get_char_index(ord(letter)))
    return frozenset()
