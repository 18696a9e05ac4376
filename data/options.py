"""Conversion of the options of a command into the configuration of a data set."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from data.config import DataConfig
from data.errors import DataError
from data.names import one_spelling
from data.problem_words import found_value, own_message, rule

#: Options, and the key of `data.config.DataConfig` that each one sets as it is.
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
#: Options that several keys or a conversion stand behind.
SIZE, CLASS, SPLIT = "--image-size", "--class", "--split"
_FOLDS = ("--test-fold", "--validation-fold")
#: Value of ``--split`` for the source's own folders.
AS_IS = "as-is"
_SIZE = re.compile(r"(\d{1,6})(?:\s*[xX]\s*(\d{1,6}))?")
_MOST_PROBLEMS = 3

#: Value and option by dotted key.
Settings = dict[str, tuple[str, Any]]


def settings(options: Mapping[str, Any]) -> Settings:
    """Return what options say of a data set.

    Parameters
    ----------
    options
        Values by option as it is typed, ``--image-size``.

    Returns
    -------
    dict
        From each dotted key of `data.config.DataConfig` to the option and the key's value.

    Raises
    ------
    DataError
        When a value cannot be read, or folds are named beside ``--split``.
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
                f"{SPLIT} and {folds[0]}: --split says where every patient stands, so no folds "
                "can be named beside it"
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
        With a line for each wrong option, at most three.
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
    # A rule about several keys has the place of what holds them.
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
    """Read ``NAME`` or ``NEW=A,B`` options as the configuration's list or mapping."""
    if not options:
        return None
    if not any("=" in option for option in options):
        return tuple(options)
    merged: dict[str, tuple[str, ...]] = {}
    for option in options:
        new, _, names = option.partition("=")
        new = one_spelling(new)
        if new in merged:
            raise DataError(f"{CLASS}: the class '{new}' is asked for twice")
        merged[new] = tuple(filter(None, names.split(","))) if names else (new,)
    return merged


def size_of(text: str) -> tuple[int, int]:
    """Return height and width in pixels of ``128`` or ``96x128``.

    Raises
    ------
    DataError
        When the text is neither.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise DataError(f"{SIZE} {text}: write 128, or 96x128 for height x width")
    return int(found[1]), int(found[2] or found[1])
