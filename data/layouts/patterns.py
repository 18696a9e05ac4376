"""Regular expressions that users give, searched in the path of an image below its source."""

import re
from collections.abc import Callable

from data.errors import DataError
from data.names import plain_characters


def finder(pattern: str, group: str, option: str) -> Callable[[str], str]:
    """Return a function that finds a name in a path: empty where the pattern does not match.

    Parameters
    ----------
    pattern
        Regular expression with the name in parentheses.
    group
        Name of the group that holds it; without a group of this name the first is taken.
    option
        The option that gave the pattern, for messages.

    Raises
    ------
    DataError
        When the pattern cannot be read or has no parentheses.
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
            f"{option} '{pattern}' must hold the {group} in parentheses, "
            rf"for example ({group}_\d+)"
        )
    return compiled


def _plain_pattern(pattern: str) -> str:
    """Return ``pattern`` in the characters in which paths are searched."""
    return plain_characters("".join(map(_plain_character, pattern)))


def _plain_character(character: str) -> str:
    # A full-width bracket is an ordinary one in the paths, and opens no group in the pattern.
    ordinary = plain_characters(character)
    return ordinary if ordinary == character or ordinary.isalnum() else re.escape(ordinary)
