"""Images that may be the same: saved again with lossy compression, or resized.

This is not a perceptual hash. Hashes only encode whether a neighboring pixel is brighter, to be
independent of lighting; but cells on a black background share one outline and differ in exactly
that. With a difference hash of 64 bits, 2,402 of the 18,960 malaria cells have another cell within
4 bits, although none of them occurs twice. The images themselves are compared instead, as
thumbnails of 16 x 16 gray pixels.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.duplicates import DuplicateSet

#: Largest root mean square difference of two thumbnails that are reported, as a fraction of the
#: images' contrast (standard deviation). Copies saved as JPEG (quality 75 and better), at half or
#: at twice the size differ by at most 0.09; the closest two of 18,960 malaria cells by 0.114, of
#: 5,051 photographs of HAM10000 that show two lesions by 0.18, of seven cells of C-NMC by 0.29.
LARGEST_DIFFERENCE = 0.1
#: Images with less contrast than this (standard deviation, gray levels) all look alike.
LEAST_CONTRAST = 4.0
#: Every image is compared with every other, so the time is quadratic in their number.
MOST_IMAGES = 50_000
#: Nearest neighbors per image, itself included; bounds the memory if many images are alike.
_NEIGHBORS = 6

_COLUMNS = ("path", "patient_id", "class_name", "split")


def similar_sets(table: pa.Table) -> tuple[DuplicateSet, ...]:
    """Return sets of images that look the same but whose pixels are not equal.

    Parameters
    ----------
    table
        As in `data.exploration.survey.Survey`, with at most `MOST_IMAGES` readable rows.
    """
    rows = _one_of_each(table)
    if rows.num_rows < 2:
        return ()
    pairs = _pairs(rows)
    if not len(pairs):
        return ()
    columns = [name for name in _COLUMNS if name in rows.column_names]
    return tuple(
        DuplicateSet(tuple(rows.select(columns).take(sorted(places)).to_pylist()))
        for places in _joined(pairs, rows.num_rows)
    )


def _one_of_each(table: pa.Table) -> pa.Table:
    """Return one row per distinct image with sufficient contrast, sorted by path."""
    keep = pc.and_(
        pc.is_valid(table.column("pixels_sha256")),
        pc.greater_equal(table.column("spread"), LEAST_CONTRAST),
    )
    table = table.filter(pc.fill_null(keep, fill_value=False)).sort_by("path")
    digests = table.column("pixels_sha256").to_pylist()
    first = {digest: row for row, digest in reversed([*enumerate(digests)])}
    return table.take(pa.array(sorted(first.values()), pa.int64()))


def _pairs(rows: pa.Table) -> np.ndarray:
    """Return the row numbers of pairs of similar images, shape (n, 2)."""
    from sklearn.neighbors import NearestNeighbors

    thumbnails = np.frombuffer(b"".join(rows.column("signature").to_pylist()), np.uint8)
    vectors = thumbnails.reshape(rows.num_rows, -1).astype(np.float32)
    neighbors = min(_NEIGHBORS, rows.num_rows)
    search = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(vectors)
    distances, places = search.kneighbors(vectors)
    contrast = rows.column("spread").to_numpy()
    least = np.minimum(contrast[places], contrast[:, None])
    near = distances / np.sqrt(vectors.shape[1]) <= LARGEST_DIFFERENCE * least
    one, column = np.nonzero(near)
    other = places[one, column]
    return np.stack([one, other], axis=1)[one != other]


def _joined(pairs: np.ndarray, number: int) -> list[list[int]]:
    """Return the connected components that ``pairs`` form among ``number`` rows."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (number, number))
    _, names = connected_components(graph, directed=False)
    found: dict[int, list[int]] = {}
    for place in np.unique(pairs).tolist():
        found.setdefault(int(names[place]), []).append(place)
    return [*found.values()]
