"""Conversion of command-line options to the configuration of a data set."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from data.config import DataConfig
from data.errors import DataError
from data.names import one_spelling
from data.problem_words import found_value, own_message, rule

#: Mapping from each option to the key of `data.config.DataConfig` that it sets unchanged.
KEYS = {
    "--layout": "layout",
    "--labels": "labels",
    "--path-column": "path_column",
    "--label-column": "label_column",
    "--group-column": "group_column",
    "--class-pattern": "class_pattern",
    "--group-pattern": "group_pattern",
    "--split-by": "split.by",
    "--validation": "split.validation",
    "--test": "split.test",
    "--split-seed": "split.seed",
    "--test-fold": "split.test_folds",
    "--validation-fold": "split.validation_folds",
    "--color": "image.color",
    "--damaged": "damaged",
    "--max-reject-share": "max_reject_share",
}
#: Options that set several keys or need a conversion.
SIZE, CLASS, SPLIT = "--image-size", "--class", "--split"
_FOLDS = ("--test-fold", "--validation-fold")
#: Value of ``--split`` that selects the source's own folders.
AS_IS = "as-is"
_SIZE = re.compile(r"(\d{1,6})(?:\s*[xX]\s*(\d{1,6}))?")
_MOST_PROBLEMS = 3

#: Mapping from dotted key to option and value.
Settings = dict[str, tuple[str, Any]]


def settings(options: Mapping[str, Any]) -> Settings:
    """Convert options to keys of the configuration.

    Parameters
    ----------
    options
        Mapping from each option as typed, such as ``--image-size``, to its value.

    Returns
    -------
    dict
        Mapping from each dotted key of `data.config.DataConfig` to the option and the key's value.

    Raises
    ------
    DataError
        If a value cannot be parsed, or folds are given in addition to ``--split``.
    """
    found: Settings = {KEYS[name]: (name, v) for name, v in options.items() if name in KEYS}
    if CLASS in options:
        found["classes"] = CLASS, classes_of(options[CLASS])
    if SIZE in options:
        height, width = size_of(str(options[SIZE]))
        found |= {"image.height": (SIZE, height), "image.width": (SIZE, width)}
    folds = [name for name in _FOLDS if name in options]
    if SPLIT in options:
        if folds:
            raise DataError(
                f"{SPLIT} and {folds[0]}: --split already assigns every patient, so folds cannot "
                "be given in addition"
            )
        as_is = options[SPLIT] == AS_IS
        key, value = ("split.method", AS_IS) if as_is else ("split.manifest", options[SPLIT])
        found[key] = SPLIT, value
    if folds:
        found["split.method"] = folds[0], "folds"
    return found


def configured(source: str, options: Mapping[str, Any]) -> DataConfig:
    """Return the configuration of ``source`` with the options of a command.

    Raises
    ------
    DataError
        If an option is invalid; the message has one line for each, at most three.
    """
    given = settings(options)
    content: dict[str, Any] = {"source": source}
    for key, (_, value) in given.items():
        *above, last = key.split(".")
        place = content
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    try:
        return DataConfig.model_validate(content)
    except ValidationError as error:
        lines = dict.fromkeys(_line(problem, given) for problem in error.errors())
        raise DataError("\n".join([*lines][:_MOST_PROBLEMS])) from None


def _line(problem: Any, given: Settings) -> str:
    key = ".".join(str(part) for part in problem["loc"] if not _is_branch(part))
    # The location of a rule about several keys is the model that contains them.
    near = [name for name in given if f"{key}.".startswith(f"{name}.")]
    near += [name for name in given if f"{name}.".startswith(f"{key}.")]
    place = given[near[0]][0] if near else key
    broken = rule(problem)
    if broken is None:
        return f"{place}: {own_message(problem)}" if place else own_message(problem)
    return f"{place} {broken}{found_value(problem)}"


def _is_branch(part: Any) -> bool:
    return isinstance(part, int) or str(part).startswith(("dict[", "tuple[", "list["))


def classes_of(
    options: Sequence[str] | None,
) -> dict[str, tuple[str, ...]] | tuple[str, ...] | None:
    """Parse ``NAME`` or ``NEW=A,B`` options to the list or mapping of the configuration."""
    if not options:
        return None
    if not any("=" in option for option in options):
        return tuple(options)
    merged: dict[str, tuple[str, ...]] = {}
    for option in options:
        new, _, names = option.partition("=")
        new = one_spelling(new)
        if new in merged:
            raise DataError(f"{CLASS}: the class '{new}' is given twice")
        merged[new] = tuple(filter(None, names.split(","))) if names else (new,)
    return merged


def size_of(text: str) -> tuple[int, int]:
    """Parse ``128`` or ``96x128`` to height and width in pixels.

    Raises
    ------
    DataError
        If the text has neither form.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise DataError(f"{SIZE} {text}: write 128, or 96x128 for height x width")
    return int(found[1]), int(found[2] or found[1])
