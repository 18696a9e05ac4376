"""Names of files, classes and patients: one spelling for each, and how they can be shown."""

import re
import unicodedata

#: Control characters, marks that turn the direction of writing, halves of characters, and
#: separators of lines: each would change what stands around the name.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

#: Characters without ink and without width, which programs leave in what is copied from them: the
#: soft hyphen, zero-width spaces and joiners, marks of the direction of writing, byte order marks.
_WITHOUT_INK = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
#: Every white space but the ends of lines.
_SPACES = re.compile(r"[^\S\r\n]")
_SPACES_IN_A_ROW = re.compile(r" {2,}")
#: Unicode's words for a character that is another one in full or in half width. Its other
#: compatibility characters (a superscript two) may mean something else.
_SAME_CHARACTER = ("<wide>", "<narrow>")
#: Where Unicode has these.
_BLOCKS = range(0xFF01, 0xFFEF)
#: Unicode's own hyphen and the one without a line break.
_HYPHENS = (0x2010, 0x2011)

#: At most as many digits as Python makes a number of.
_DIGITS = re.compile(r"\d{1,4000}")
#: A whole number as spreadsheets write it in a column of decimals.
_WHOLE_NUMBER = re.compile(r"(\d+)[.,]0+")
_SEPARATORS = re.compile(r"[\W_]+")


def _same_characters() -> dict[int, str]:
    """Return code point -> the ordinary character that it is another form of."""
    found = {}
    for code in _BLOCKS:
        form, _, ordinary = unicodedata.decomposition(chr(code)).partition(" ")
        if form in _SAME_CHARACTER:
            found[code] = chr(int(ordinary, 16))
    return found | dict.fromkeys(_HYPHENS, "-")


_ORDINARY = _same_characters()


def plain_characters(text: str) -> str:
    """Return ``text`` with each character in its one spelling; spaces are all kept.

    Composed characters (Unicode's form NFC), ordinary spaces and hyphens, ordinary width, nothing
    without ink. Patterns are searched in this.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _WITHOUT_INK.sub("", text).translate(_ORDINARY)
    return unicodedata.normalize("NFC", _SPACES.sub(" ", text))


def one_spelling(name: str) -> str:
    """Return the one spelling of the name of a patient, group, class or fold.

    Names that only their encoding tells apart (composed or not, no-break or zero-width spaces,
    full-width digits, spaces around or doubled) become equal. Capitals and numbers stay as they
    are: ``p1`` and ``P1`` may be two people (see `likeness`).
    """
    return _SPACES_IN_A_ROW.sub(" ", plain_characters(name)).strip()


def likeness(name: str) -> str:
    """Return a key that is equal for names that may be the same one written in two ways.

    Such names differ in capitals, in how numbers are written (``1``, ``001``, ``1.0``), in
    separators (``p 1``, ``p_1``) or in compatibility characters of Unicode.
    """
    text = unicodedata.normalize("NFKC", one_spelling(name)).casefold()
    if number := _WHOLE_NUMBER.fullmatch(text):
        text = number[1]
    text = _DIGITS.sub(lambda digits: str(int(digits[0])), text)
    return _SEPARATORS.sub("-", text) or text


def visible(name: str) -> str:
    r"""Return ``name`` with each character that cannot be seen written as ``\n`` or ``\u202e``."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(map(_visible_character, name))


def _visible_character(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
