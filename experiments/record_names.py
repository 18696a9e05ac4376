"""Names in the record: MLflow takes few characters in those of metrics and parameters."""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256

#: What MLflow refuses, and the slash, which groups names and must not lead anywhere.
_REFUSED = re.compile(r"[^\w .:-]")
#: MLflow takes 250 characters for a whole name.
_LONGEST = 100
_DIGITS = 8


def key_parts(names: Iterable[str]) -> dict[str, str]:
    """Return what stands for each name, of a class for example, in names of the record.

    A character that MLflow refuses becomes an underscore. A name that is too long, or that would
    be the same as another one, ends in digits of its digest.
    """
    parts = {name: _REFUSED.sub("_", name) for name in names}
    times = Counter(parts.values())
    return {
        name: part if times[part] == 1 and len(part) <= _LONGEST else _unmistakable(name, part)
        for name, part in parts.items()
    }


def _unmistakable(name: str, part: str) -> str:
    return f"{part[:_LONGEST]}-{sha256(name.encode()).hexdigest()[:_DIGITS]}"
