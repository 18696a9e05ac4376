"""User-defined regular expressions, searched in the path of an image relative to its source."""

import re
from collections.abc import Callable

from data.errors import DataError
from data.names import plain_characters


def finder(pattern: str, group: str, option: str) -> Callable[[str], str]:
    """Return a function that finds a name in a path, and returns "" if the pattern does not match.

    Parameters
    ----------
    pattern
        Regular expression with the name in a group.
    group
        Name of the group that matches it; if no group has this name, the first is used.
    option
        The option that gave the pattern, for messages.

    Raises
    ------
    DataError
        If the pattern is not a valid regular expression or has no group.
    """
    compiled = _compile(pattern, group, option)
    wanted: str | int = group if group in compiled.groupindex else 1

    def find(path: str) -> str:
        match = compiled.search(plain_characters(path))
        return (match and match[wanted]) or ""

    return find


def _compile(pattern: str, group: str, option: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(_plain_pattern(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise DataError(f"{option} '{pattern}' cannot be read: {error}") from None
    if not compiled.groups:
        raise DataError(
            f"{option} '{pattern}' must have the {group} in parentheses, "
            rf"for example ({group}_\d+)"
        )
    return compiled


def _plain_pattern(pattern: str) -> str:
    """Return ``pattern`` in the normalized characters in which paths are searched."""
    return plain_characters("".join(map(_plain_character, pattern)))


def _plain_character(character: str) -> str:
    # In paths, full-width parentheses become ordinary ones; in a pattern they must stay literal
    # and not open a group.
    ordinary = plain_characters(character)
    return ordinary if ordinary == character or ordinary.isalnum() else re.escape(ordinary)
