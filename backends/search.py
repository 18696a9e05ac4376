"""What values of a setting are worth trying."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    #: Whether ratios count and not differences.
    log: bool = False


@dataclass(frozen=True)
class Choices:
    """One of a few values: numbers, words, true or false."""

    values: tuple[Any, ...]


Values = Range | Choices
