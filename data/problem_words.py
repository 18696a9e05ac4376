"""Validation errors of pydantic, rephrased for this project's messages."""

from typing import Any

_EMPTY, _MISSING = ("string_too_short", "too_short"), "missing"
#: Errors for absent values, which are not shown in the message.
_ABSENT = (*_EMPTY, _MISSING)
#: Message by pydantic's error type, with placeholders for the values of its context.
_RULES = {
    "greater_than_equal": "must be {ge:,.12g} or more",
    "greater_than": "must be more than {gt:,.12g}",
    "less_than_equal": "must be {le:,.12g} or less",
    "less_than": "must be less than {lt:,.12g}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "string_type": "must be a string",
    "string_too_long": "must have {max_length} characters or fewer",
    "string_pattern_mismatch": "must match the pattern {pattern}",
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
    """Return the rule that a value violates, such as ``must be 8 or more``.

    The result is None for errors raised by this project's validators.
    """
    found = _RULES.get(problem["type"])
    return None if found is None else found.format(**problem.get("ctx", {}))


def own_message(problem: Any) -> str:
    """Return the message of a validator of this project."""
    return str(problem["msg"]).removeprefix("Value error, ")


def found_value(problem: Any) -> str:
    """Return ``, not`` followed by the invalid value; empty if the value is absent."""
    return "" if problem["type"] in _ABSENT else f", not {shown(problem['input'])}"


def shown(value: Any) -> str:
    """Return a value as text for a message, truncated if it is long."""
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
