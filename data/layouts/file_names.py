"""Patterns for patients in file names, which are proposed to the user and never applied."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from data.layouts.folder_names import aside
from data.names import one_spelling, plain_characters

#: Share of the names that a pattern must match to be proposed.
_MATCHED = 0.9
#: Smallest average number of images per patient; below it nearly every image would be a patient.
_FEWEST_IMAGES = 1.4
_FEWEST_PATIENTS = 3
#: Names on which a pattern is tried before it is applied to all.
_SAMPLE = 500
_EXAMPLES = 3

_WORD = r"(?:patient|pat|pt|case|subject|subj|sub|participant|person|p)"
#: Patterns for a patient in a file name, in the order in which they are tried: a word and a
#: number anywhere (``scan_P012_03``), a number at the beginning followed by other parts
#: (``12_4``, ``AB12-3``), letters and a number followed by other parts (``cell-17_b``).
_PATTERNS = (
    rf"(?i)(?:^|[/_. -])({_WORD}[_. -]?\d+)[^/]*$",
    r"(?:^|/)([A-Za-z]*\d+)[_ -][^/]*$",
    r"(?:^|/)([A-Za-z]+[_ -]\d+)[_ -][^/]*$",
)


@dataclass(frozen=True)
class Proposal:
    """A pattern that would identify patients."""

    pattern: str
    patients: int
    images: int
    #: File name and patient, for at most three patients.
    examples: tuple[tuple[str, str], ...]


def propose_pattern(paths: Sequence[str], classes: int) -> Proposal | None:
    """Return a pattern that finds patients in the names of files, or None.

    Parameters
    ----------
    paths
        Paths of the images.
    classes
        Number of classes; a pattern with no more distinct values than this may find the class.
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
    """Return ``pattern`` with literal letters if all matches start with the same ones."""
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
    """Return the result of ``pattern`` on all paths, None if it is not useful."""
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
