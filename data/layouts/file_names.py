"""File names that seem to carry a patient: a pattern is proposed and never used unasked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data.layouts.folder_names import aside
from data.names import one_spelling, plain_characters

#: Share of the names that a pattern must match to be proposed.
_MATCHED = 0.9
#: Images of a patient, on average, below which nearly every image would be a patient of its own.
_FEWEST_IMAGES = 1.4
_FEWEST_PATIENTS = 3
#: Names that are looked at before all are.
_SAMPLE = 500
_EXAMPLES = 3

_WORD = r"(?:patient|pat|pt|case|subject|subj|sub|participant|person|p)"
#: Patterns for a patient in a file's name, in the order in which they are tried: a word and a
#: number anywhere (``scan_P012_03``), a number at the beginning with something behind it
#: (``12_4``, ``AB12-3``), letters and a number with something behind them (``cell-17_b``).
_PATTERNS = (
    rf"(?i)(?:^|[/_. -])({_WORD}[_. -]?\d+)[^/]*$",
    r"(?:^|/)([A-Za-z]*\d+)[_ -][^/]*$",
    r"(?:^|/)([A-Za-z]+[_ -]\d+)[_ -][^/]*$",
)


@dataclass(frozen=True)
class Proposal:
    """A pattern that would name patients."""

    pattern: str
    patients: int
    images: int
    #: File name and patient, of three patients as far as there are so many.
    examples: tuple[tuple[str, str], ...]


def propose_pattern(paths: Sequence[str], classes: int) -> Proposal | None:
    """Return a pattern that finds patients in the names of files, or None.

    Parameters
    ----------
    paths
        Of the images.
    classes
        Number of classes: a number that occurs in so many values or fewer is perhaps the class.
    """
    sample = paths[:: max(1, len(paths) // _SAMPLE)]
    for pattern in _PATTERNS:
        if _share(pattern, sample) < _MATCHED:
            continue
        proposal = _judge(_shorter(pattern, sample), paths, classes)
        if proposal is not None:
            return proposal
    return None


def _share(pattern: str, paths: Sequence[str]) -> float:
    compiled = re.compile(pattern)
    return sum(compiled.search(plain_characters(path)) is not None for path in paths) / len(paths)


def _shorter(pattern: str, paths: Sequence[str]) -> str:
    """Return ``pattern`` with the letters that all names have, if they have the same."""
    compiled = re.compile(pattern)
    found = {
        re.sub(r"\d+$", "", match[1])
        for path in paths
        if (match := compiled.search(plain_characters(path)))
    }
    letters = found.pop() if len(found) == 1 else ""
    if not letters:
        return pattern
    shorter = re.compile(rf"({letters.replace('.', '[.]')}\d+)[^/]*$")
    same = all(
        (one and one[1]) == (other and other[1])
        for path in map(plain_characters, paths)
        for one, other in [(compiled.search(path), shorter.search(path))]
    )
    return shorter.pattern if same else pattern


def _judge(pattern: str, paths: Sequence[str], classes: int) -> Proposal | None:
    """Return what ``pattern`` gives on all paths, None where it is no use."""
    compiled = re.compile(pattern)
    first_of: dict[str, str] = {}
    matched = 0
    for path in paths:
        match = compiled.search(plain_characters(path))
        if match is not None:
            matched += 1
            first_of.setdefault(one_spelling(match[1]), path)
    patients = len(first_of)
    if matched < _MATCHED * len(paths) or matched < _FEWEST_IMAGES * patients:
        return None
    if patients < max(_FEWEST_PATIENTS, classes + 1):
        return None
    visits = sum(aside(re.split(r"[_ -]", patient)[-1]) == "visit" for patient in first_of)
    if visits > patients / 2:
        return None
    examples = [
        (path.rpartition("/")[2], patient) for patient, path in [*first_of.items()][:_EXAMPLES]
    ]
    return Proposal(pattern, patients, matched, tuple(examples))
