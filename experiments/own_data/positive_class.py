"""Guess of the positive class from the names of the classes."""

import re
from collections.abc import Iterable, Mapping

#: Stems of English words for illnesses, the most severe first. Stems in the same tuple have the
#: same rank.
_STEMS = (
    ("melanom",),
    ("malign", "carcinom", "cancer", "leukem", "leukaem", "lymphom", "sarcom", "gliom", "metasta"),
    ("tumor", "tumour", "neoplas"),
    ("parasiti", "infect", "pneumon", "covid", "tubercul", "diseas", "patholog", "haemorrh",
     "hemorrh", "retinopath", "glaucom", "cataract", "fractur", "stroke", "ulcer", "polyp",
     "anemi", "anaemi", "malaria", "hepatit", "cirrho", "fibros", "dement", "alzheim"),
    ("abnormal", "illness", "affected"),
)  # fmt: skip
#: Whole words and common abbreviations for illnesses, in the same ranks.
_WORDS = (
    ("mel",),
    ("bcc", "scc", "all", "aml", "cll", "cml", "blast", "blasts"),
    ("akiec",),
    ("sick", "ill", "tb", "dr"),
    ("positive", "pos", "yes", "true", "case", "cases", "patient", "patients"),
)
#: Rank of the class name ``1``.
_FIGURE_RANK = len(_STEMS)
_HEALTHY_STEMS = ("normal", "health", "benign", "negativ")
_HEALTHY_WORDS = frozenset(
    ("neg", "control", "controls", "no", "non", "not", "none", "without", "free", "hem", "false",
     "nevus", "naevus", "nv")
)  # fmt: skip
#: Words that denote an illness only if there is also a healthy class: "all" is either acute
#: lymphoblastic leukemia or the English word.
_AMBIGUOUS = frozenset(("all",))
_NEGATION = re.compile(r"^(un|non?|not|anti)(?=[a-z]{4})")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def positive_class(counts: Mapping[str, int]) -> str:
    """Return the class that is probably the positive one.

    It is the class whose name denotes an illness, the most severe one if there are several.
    Otherwise it is the class with the fewest images among those whose name does not denote the
    absence of an illness.

    Parameters
    ----------
    counts
        Number of images by class, for at least two classes.
    """
    has_healthy = any(map(is_healthy, counts))
    ranks = {name: _rank(name, has_healthy=has_healthy) for name in counts}
    ill = [name for name, rank in ranks.items() if rank is not None]
    if ill:
        return min(ill, key=lambda name: (ranks[name], counts[name], name))
    others = [name for name in counts if not is_healthy(name)]
    return min(others or counts, key=lambda name: (counts[name], name))


def is_healthy(name: str) -> bool:
    """Return whether the name of a class denotes the absence of an illness."""
    if name.strip() == "0":
        return True
    return any(
        word in _HEALTHY_WORDS
        or (word.startswith(_HEALTHY_STEMS))
        or (_NEGATION.match(word) is not None and _is_illness(_NEGATION.sub("", word)))
        for word in _words(name)
    )


def _rank(name: str, *, has_healthy: bool) -> int | None:
    """Return the severity rank of the illness in a name, 0 for the most severe, None for none."""
    if is_healthy(name):
        return None
    if name.strip() == "1":
        return _FIGURE_RANK
    words = [word for word in _words(name) if has_healthy or word not in _AMBIGUOUS]
    ranks = [
        rank
        for rank, (stems, whole) in enumerate(zip(_STEMS, _WORDS, strict=True))
        if any(word in whole or _has_stem(word, stems) for word in words)
    ]
    return min(ranks, default=None)


def _is_illness(word: str) -> bool:
    return any(
        word in whole or _has_stem(word, stems) for stems, whole in zip(_STEMS, _WORDS, strict=True)
    )


def _has_stem(word: str, stems: Iterable[str]) -> bool:
    return any(stem in word for stem in stems)


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case, separated by punctuation and capitalization."""
    parts = re.split(r"[\W_]+", name)
    return list(
        dict.fromkeys(
            word.lower() for part in parts if part for word in (part, *_PART.findall(part))
        )
    )
