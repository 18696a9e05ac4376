"""Normalization and display of the names of files, classes and patients."""

import re
import unicodedata

#: Control characters, direction marks, surrogates, and line separators, which would change the
#: text around the name.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

#: Invisible zero-width characters that remain in text copied from some programs: the soft hyphen,
#: zero-width spaces and joiners, direction marks, byte order marks.
_WITHOUT_INK = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
#: All white space except line breaks.
_SPACES = re.compile(r"[^\S\r\n]")
_SPACES_IN_A_ROW = re.compile(r" {2,}")
#: Unicode decomposition tags of full-width and half-width forms. Other compatibility characters
#: (such as superscript two) may have a different meaning.
_SAME_CHARACTER = ("<wide>", "<narrow>")
#: Code points of these forms.
_BLOCKS = range(0xFF01, 0xFFEF)
#: Unicode's hyphen and non-breaking hyphen.
_HYPHENS = (0x2010, 0x2011)

#: Runs of digits within the length that Python converts to an integer.
_DIGITS = re.compile(r"\d{1,4000}")
#: An integer as spreadsheets write it in a column of decimal numbers.
_WHOLE_NUMBER = re.compile(r"(\d+)[.,]0+")
_SEPARATORS = re.compile(r"[\W_]+")


def _same_characters() -> dict[int, str]:
    """Return a mapping from code point to the ordinary character of which it is a variant."""
    found = {}
    for code in _BLOCKS:
        form, _, ordinary = unicodedata.decomposition(chr(code)).partition(" ")
        if form in _SAME_CHARACTER:
            found[code] = chr(int(ordinary, 16))
    return found | dict.fromkeys(_HYPHENS, "-")


_ORDINARY = _same_characters()


def plain_characters(text: str) -> str:
    """Return ``text`` with each character normalized, keeping all spaces.

    The result has composed characters (Unicode NFC), ordinary spaces, hyphens and widths, and no
    invisible characters. Regular expressions given by users are searched in this form.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _WITHOUT_INK.sub("", text).translate(_ORDINARY)
    return unicodedata.normalize("NFC", _SPACES.sub(" ", text))


def one_spelling(name: str) -> str:
    """Return the normalized name of a patient, group, class or fold.

    Names that differ only in their encoding (composed or decomposed characters, no-break or
    zero-width spaces, full-width digits, surrounding or repeated spaces) become equal. Case and
    numbers are preserved: ``p1`` and ``P1`` may be two persons (see `likeness`).
    """
    return _SPACES_IN_A_ROW.sub(" ", plain_characters(name)).strip()


def likeness(name: str) -> str:
    """Return a key that is equal for names that may be variants of the same name.

    Variants differ in case, in the format of numbers (``1``, ``001``, ``1.0``), in separators
    (``p 1``, ``p_1``) or in compatibility characters of Unicode.
    """
    text = unicodedata.normalize("NFKC", one_spelling(name)).casefold()
    if number := _WHOLE_NUMBER.fullmatch(text):
        text = number[1]
    text = _DIGITS.sub(lambda digits: str(int(digits[0])), text)
    return _SEPARATORS.sub("-", text) or text


def visible(name: str) -> str:
    r"""Return ``name`` with invisible characters escaped, such as ``\n`` or ``\u202e``."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(map(_visible_character, name))


def _visible_character(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
