"""Classification of folder names: patients, codes, visits and others."""

import re
from functools import lru_cache

from data.names import plain_characters

#: Size of the caches of names; the same names repeat under many folders.
_CACHED = 2**18

_WORDS_FOR_PATIENTS = (
    "p|pt|pat|patients?|subjects?|subj|sub|cases?|participants?|persons?|probands?|volunteers?"
    "|donors?|individuals?|animals?|mouse|mice|rats?|specimens?"
)
#: ``patient_007``, ``P12``, ``case-3b``, ``sub-A04``: the word followed by a number.
_PATIENT = re.compile(rf"(?:{_WORDS_FOR_PATIENTS})[\W_]*(?:id|no|nr)?[\W_]*[a-z]{{0,2}}[\W_]*\d.*")
#: Numbers of three digits or more are codes: data sets do not have that many classes or visits.
_CODE = re.compile(r".*\d{3}.*")
_DIGIT = re.compile(r".*\d.*")

#: Label in the displayed shape -> names that denote neither a class nor a patient.
_ASIDE = {
    "visit": re.compile(
        r"(?:visit|vis|day|week|month|year|scan|session|ses|exam|examination|study|series|time"
        r"|timepoint|tp|date|follow[\W_]*up|fu|baseline|pre|post|round|acquisition|acq)"
        r"[\W_]*\d{0,4}[a-z]?"
        r"|[vt]\d{1,2}"
        r"|(?:19|20)\d\d[\W_]?(?:0\d|1[0-2])[\W_]?[0-3]\d"
        r"|[0-3]?\d[\W_][01]?\d[\W_](?:19|20)\d\d"
    ),
    "side": re.compile(r"left|right|[lr]|lt|rt|od|os|both|axial|coronal|sagittal"),
    "magnification": re.compile(r"\d+(?:[.,]\d+)?[\W_]?x|x[\W_]?\d+"),
    "site": re.compile(
        r"(?:site|cent(?:er|re)|hospital|clinic|camera|scanner|device|lab|batch|cohort)"
        r"[\W_]*[a-z0-9]{0,2}"
    ),
    "*": re.compile(
        r"images?|imgs?|photos?|photographs?|pictures?|pics?|jpe?gs?|pngs?|tiffs?|bmps?|raw"
        r"|originals?|data|dataset|crops?|patches|tiles|frames"
    ),
}


@lru_cache(maxsize=_CACHED)
def _plain(name: str) -> str:
    return plain_characters(name).casefold().strip()


def has_number(name: str) -> bool:
    """Return whether the name contains a digit."""
    return _DIGIT.fullmatch(_plain(name)) is not None


def is_patient_name(name: str) -> bool:
    """Return whether the name contains a word for a patient: ``patient_3``, ``P12``, ``case-7``."""
    return _PATIENT.fullmatch(_plain(name)) is not None


def is_code(name: str) -> bool:
    """Return whether the name denotes a patient or contains a number as long as a code."""
    return is_patient_name(name) or _CODE.fullmatch(_plain(name)) is not None


@lru_cache(maxsize=_CACHED)
def aside(name: str) -> str | None:
    """Return what a name that is neither a class nor a patient denotes, None for other names."""
    plain = _plain(name)
    for what, pattern in _ASIDE.items():
        if pattern.fullmatch(plain):
            return what
    return None
