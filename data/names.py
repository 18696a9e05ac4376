"""Names of files, classes and patients as they can be shown: they may hold anything."""

import unicodedata

#: Control characters, marks that turn the direction of writing, halves of characters, and
#: separators of lines: each would change what stands around the name.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(name: str) -> str:
    r"""Return ``name`` with each character that cannot be seen written as ``\n`` or ``\u202e``."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(map(_visible_character, name))


def _visible_character(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
