"""Search for the division of groups whose parts are closest to the requested shares.

scikit-learn's StratifiedGroupKFold produces parts of equal size, whereas shares such as 0.15 are
needed; it considers images but not patients, and takes more than a second for 19,000 groups. Here,
divisions are drawn at random within strata of groups that contain the same classes; the best one is
kept and improved by exchanging groups.
"""

from collections.abc import Sequence

import numpy as np

#: Limits on the number of divisions drawn: more for fewer groups, where chance matters more.
MOST_DRAWS = 200
FEWEST_DRAWS = 20
#: Product of draws and groups, which limits the time to about a second.
DRAWN_GROUPS = 2_000_000
#: Number of exchanges that are tried on the best division.
SWAPS = 5_000


def draw(counts: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray | None:
    """Divide groups into ``len(shares) + 1`` parts, the last of which receives the remainder.

    Parameters
    ----------
    counts
        Number of images of each group and class, integer, shape (groups, classes).
    shares
        Requested fraction of the images of every class for each part except the last.
    seed
        Seed of the random draws. The result depends only on the arguments.

    Returns
    -------
    numpy.ndarray or None
        Part of each group, int64, shape (groups,); None if no drawn division has every class in
        every part.
    """
    generator = np.random.default_rng(seed)
    strata = _strata(counts)
    wanted = np.array([*shares, 1 - sum(shares)])
    draws = int(np.clip(DRAWN_GROUPS // len(counts), FEWEST_DRAWS, MOST_DRAWS))
    best, best_deviation = None, np.inf
    for _ in range(draws):
        parts = np.empty(len(counts), np.int64)
        for members in strata:
            parts[generator.permutation(members)] = _deal(len(members), wanted, generator)
        deviation = _deviation(counts, parts, wanted)
        if deviation < best_deviation:
            best, best_deviation = parts, deviation
    return None if best is None else _swap(counts, best, wanted, strata, generator)


def _strata(counts: np.ndarray) -> list[np.ndarray]:
    """Return the members of each stratum: groups that contain the same set of classes."""
    _, stratum = np.unique(counts > 0, axis=0, return_inverse=True)
    return [np.flatnonzero(stratum == number) for number in range(stratum.max() + 1)]


def _deal(groups: int, wanted: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return ``groups`` part numbers in the requested shares, rounding fractions at random.

    If a stratum has enough groups, every part receives at least one, so that a class with groups of
    its own is not missing from any part.
    """
    first = np.arange(len(wanted)) if groups >= len(wanted) else np.arange(0)
    exact = wanted * groups
    sizes = np.floor(exact).astype(np.int64)
    sizes[first] = np.maximum(sizes[first], 1)
    parts = np.repeat(np.arange(len(wanted)), sizes)
    missing = groups - len(parts)
    if missing < 0:  # the minimum of one per part exceeds the total: reduce the largest parts
        return _shorten(parts, -missing)
    fraction = exact - np.floor(exact)
    chance = fraction / fraction.sum() if fraction.sum() > 0 else wanted
    return np.append(parts, generator.choice(len(wanted), missing, p=chance))


def _swap(
    counts: np.ndarray,
    parts: np.ndarray,
    wanted: np.ndarray,
    strata: list[np.ndarray],
    generator: np.random.Generator,
) -> np.ndarray:
    """Exchange groups between parts if that brings the images closer to the requested shares.

    Groups are exchanged only within their stratum, so the number of groups of every class in every
    part does not change.
    """
    parts = parts.copy()
    stratum = np.empty(len(counts), np.int64)
    for number, members in enumerate(strata):
        stratum[members] = number
    images = counts / counts.sum(axis=0)
    excess = np.stack([images[parts == part].sum(axis=0) for part in range(len(wanted))])
    excess -= wanted[:, np.newaxis]
    for one, other in generator.integers(len(counts), size=(SWAPS, 2)):
        here, there = parts[one], parts[other]
        if here == there or stratum[one] != stratum[other]:
            continue
        change = images[other] - images[one]
        before = np.abs(excess[here]).sum() + np.abs(excess[there]).sum()
        after = np.abs(excess[here] + change).sum() + np.abs(excess[there] - change).sum()
        if after < before:
            parts[one], parts[other] = there, here
            excess[here] += change
            excess[there] -= change
    return parts


def _shorten(parts: np.ndarray, surplus: int) -> np.ndarray:
    for _ in range(surplus):
        largest = np.bincount(parts).argmax()
        parts = np.delete(parts, np.flatnonzero(parts == largest)[0])
    return parts


def _deviation(counts: np.ndarray, parts: np.ndarray, wanted: np.ndarray) -> float:
    """Return the total deviation of images and groups of each class from the requested shares.

    Groups count as much as images: a test part of one patient with very many images would have the
    right size but would not represent other patients. The deviation is infinite if a part lacks a
    class.
    """
    deviation = 0.0
    present = counts > 0
    for part, share in enumerate(wanted):
        chosen = parts == part
        groups = present[chosen].sum(axis=0)
        if not groups.all():
            return np.inf
        images = counts[chosen].sum(axis=0)
        deviation += np.abs(images / counts.sum(axis=0) - share).sum()
        deviation += np.abs(groups / present.sum(axis=0) - share).sum()
    return deviation
