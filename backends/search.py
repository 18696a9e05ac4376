"""Values that a search for good settings tries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    #: True to sample on a logarithmic scale.
    log: bool = False


@dataclass(frozen=True)
class Choices:
    """One of a few values: numbers, strings or booleans."""

    values: tuple[Any, ...]


Values = Range | Choices
#: Values to try, by name of the option.
Tunable = Mapping[str, Values]
