"""Search for the division of groups whose parts are nearest to the shares asked for.

scikit-learn's StratifiedGroupKFold cuts parts of equal size, which 0.15 is not, looks at images
and not at patients, and takes more than a second for 19,000 groups. Here divisions are drawn at
random within strata of groups that hold the same classes; the best is kept and improved by
exchanging groups.
"""

from collections.abc import Sequence

import numpy as np

#: Divisions that are drawn: many where groups are few and chance is large.
MOST_DRAWS = 200
FEWEST_DRAWS = 20
#: Draws times groups, which bounds the time to about a second.
DRAWN_GROUPS = 2_000_000
#: Exchanges that are tried on the best division drawn.
SWAPS = 5_000


def draw(counts: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray | None:
    """Divide groups into ``len(shares) + 1`` parts; the last takes what the others leave.

    Parameters
    ----------
    counts
        Images of each group and class, integer, shape (groups, classes).
    shares
        Share of the images that each part but the last should hold, of every class.
    seed
        The result depends on this and the arguments above alone.

    Returns
    -------
    Part of each group, shape (groups,), or None when no division that was drawn has every class
    in every part.
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
    """Return the members of each stratum: groups that hold the same set of classes."""
    _, stratum = np.unique(counts > 0, axis=0, return_inverse=True)
    return [np.flatnonzero(stratum == number) for number in range(stratum.max() + 1)]


def _deal(groups: int, wanted: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return ``groups`` part numbers in the wanted shares, fractions rounded by chance.

    A stratum with enough groups gives each part one at least, so a class whose groups hold
    nothing else is never missing.
    """
    first = np.arange(len(wanted)) if groups >= len(wanted) else np.arange(0)
    exact = wanted * groups
    sizes = np.floor(exact).astype(np.int64)
    sizes[first] = np.maximum(sizes[first], 1)
    parts = np.repeat(np.arange(len(wanted)), sizes)
    missing = groups - len(parts)
    if missing < 0:  # the lower bound of one overshot: the largest part gives
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
    """Exchange groups between parts wherever that brings the images nearer to the shares.

    Groups change places within their stratum only, so the number of groups of every class stays
    what it was in every part.
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
    """Return how far images and groups of each class are from the wanted shares.

    Groups count as much as images: a test part of one patient with very many images would hold
    the right number and say nothing about other patients. Infinite where a part lacks a class.
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
