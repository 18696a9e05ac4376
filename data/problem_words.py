"""Problems that pydantic finds, in the words of this project's messages."""

from typing import Any

_EMPTY, _MISSING = ("string_too_short", "too_short"), "missing"
#: Problems with nothing, which is not shown.
_ABSENT = (*_EMPTY, _MISSING)
#: Problems of pydantic's in other words, with its figures.
_RULES = {
    "greater_than_equal": "must be {ge:,.12g} or more",
    "greater_than": "must be more than {gt:,.12g}",
    "less_than_equal": "must be {le:,.12g} or less",
    "less_than": "must be less than {lt:,.12g}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "string_type": "must be a text",
    "string_too_long": "must have {max_length} characters or fewer",
    "string_pattern_mismatch": "must fit the pattern {pattern}",
    **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
    **dict.fromkeys(
        ("int_parsing", "int_parsing_size", "int_type", "int_from_float"), "must be a whole number"
    ),
    **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list such as [a, b]"),
    **dict.fromkeys(
        ("dict_type", "model_type", "model_attributes_type"), "must be a mapping of keys to values"
    ),
    **dict.fromkeys(_EMPTY, "must not be empty"),
    _MISSING: "is missing",
}
_LONGEST_VALUE = 60  # characters


def rule(problem: Any) -> str | None:
    """Return which rule a value breaks, such as ``must be 8 or more``; None for a rule of ours."""
    found = _RULES.get(problem["type"])
    return None if found is None else found.format(**problem.get("ctx", {}))


def own_message(problem: Any) -> str:
    """Return the message of a validator of this project."""
    return str(problem["msg"]).removeprefix("Value error, ")


def found_value(problem: Any) -> str:
    """Return ``, not`` and the value that was found; empty where there is none."""
    return "" if problem["type"] in _ABSENT else f", not {shown(problem['input'])}"


def shown(value: Any) -> str:
    """Return a value as a message names it: in few characters."""
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
