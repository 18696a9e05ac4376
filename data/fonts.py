"""Selection of installed fonts that cover the characters of given texts."""

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

#: Shipped with matplotlib and therefore always available.
USUAL = "DejaVu Sans"
#: Font that draws a box for every character.
_BOXES = "Last Resort"
_REGULAR = 400


def families_for(texts: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """Return font families that cover ``texts``, and the characters that none of them has.

    The first family is the default one; others are added greedily for the characters it lacks.
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
        # If several families cover the same number of characters, prefer one without serifs.
        best = max(sorted(covered), key=lambda name: (len(covered[name] & missing), "Sans" in name))
        if not covered[best] & missing:
            break
        families.append(best)
        missing -= covered[best]
    return tuple(families), "".join(sorted(missing))


def _entries() -> "dict[str, FontEntry]":
    """Return the upright font of each family whose weight is nearest to regular."""
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
    """Add fonts installed since matplotlib built its cache; return whether there are any."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    new = {*findSystemFonts()} - {font.fname for font in fontManager.ttflist}
    for path in sorted(new):
        with suppress(Exception):  # a file that is not a font, or a font that cannot be scaled
            fontManager.addfont(path)
    return bool(new)


def _covered(font: "FontEntry", letters: Iterable[str]) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    with suppress(OSError, RuntimeError):  # uninstalled since the cache was built, or damaged
        face = FT2Font(font.fname, face_index=font.index)
        return frozenset(letter for letter in letters if face.get_char_index(ord(letter)))
    return frozenset()
