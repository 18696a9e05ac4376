"""Search spaces of options that are tuned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both inclusive."""

    low: float
    high: float
    #: True to sample on a logarithmic scale.
    log: bool = False


@dataclass(frozen=True)
class Choices:
    """A finite set of values: numbers, strings or booleans."""

    values: tuple[Any, ...]


Values = Range | Choices
#: Values to try, by option name.
Tunable = Mapping[str, Values]
