"""Names in the record, restricted to what MLflow allows for metrics and parameters."""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256

#: Characters that MLflow rejects, and the slash, which groups names and could form a path.
_REFUSED = re.compile(r"[^\w .:-]")
#: MLflow limits a whole name to 250 characters.
_LONGEST = 100
_DIGITS = 8


def key_parts(names: Iterable[str]) -> dict[str, str]:
    """Return the form of each name, for example of a class, to use in names of the record.

    A character that MLflow rejects becomes an underscore. A name that is too long, or that would
    equal another one, ends in digits of its digest.
    """
    parts = {name: _REFUSED.sub("_", name) for name in names}
    times = Counter(parts.values())
    return {
        name: part if times[part] == 1 and len(part) <= _LONGEST else _unmistakable(name, part)
        for name, part in parts.items()
    }


def _unmistakable(name: str, part: str) -> str:
    return f"{part[:_LONGEST]}-{sha256(name.encode()).hexdigest()[:_DIGITS]}"
