"""Pictures that are perhaps the same: saved again with loss, or resized.

Not a perceptual hash. Hashes keep only whether a neighbour is brighter, so that a change of light
does not count; but cells on black share one outline and differ in just that. A difference hash of
64 bits finds another within 4 bits for 2,402 of the 18,960 malaria cells, none of which is there
twice. What is compared instead is the picture itself, as a thumbnail of 16 x 16 grey pixels.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.duplicates import DuplicateSet

#: Root mean square difference of two thumbnails, as a part of the pictures' contrast (standard
#: deviation), up to which they are told. Copies saved as JPEG (quality 75 and better), at half or
#: at twice the size differ by 0.09 at most; the nearest two of 18,960 malaria cells by 0.114, of
#: 5,051 photographs of HAM10000 that show two lesions by 0.18, of seven cells of C-NMC by 0.29.
LARGEST_DIFFERENCE = 0.1
#: Pictures with less contrast than this (standard deviation, grey levels) all look alike.
LEAST_CONTRAST = 4.0
#: Every picture is compared with every other: the time grows with the square of their number.
MOST_IMAGES = 50_000
#: Others that are looked at for each picture; bounds the memory where many are alike.
_NEIGHBOURS = 6

_COLUMNS = ("path", "patient_id", "class_name", "split")


def similar_sets(table: pa.Table) -> tuple[DuplicateSet, ...]:
    """Return sets of images that look the same and whose pixels are not equal.

    Parameters
    ----------
    table
        As in `data.exploration.survey.Survey`, of at most `MOST_IMAGES` rows that can be read.
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
    """Return one row for each picture, without those of no contrast, sorted by path."""
    keep = pc.and_(
        pc.is_valid(table.column("pixels_sha256")),
        pc.greater_equal(table.column("spread"), LEAST_CONTRAST),
    )
    table = table.filter(pc.fill_null(keep, fill_value=False)).sort_by("path")
    digests = table.column("pixels_sha256").to_pylist()
    first = {digest: row for row, digest in reversed([*enumerate(digests)])}
    return table.take(pa.array(sorted(first.values()), pa.int64()))


def _pairs(rows: pa.Table) -> np.ndarray:
    """Return places of similar pictures, shape (n, 2)."""
    from sklearn.neighbors import NearestNeighbors

    thumbnails = np.frombuffer(b"".join(rows.column("signature").to_pylist()), np.uint8)
    vectors = thumbnails.reshape(rows.num_rows, -1).astype(np.float32)
    neighbours = min(_NEIGHBOURS, rows.num_rows)
    search = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(vectors)
    distances, places = search.kneighbors(vectors)
    contrast = rows.column("spread").to_numpy()
    least = np.minimum(contrast[places], contrast[:, None])
    near = distances / np.sqrt(vectors.shape[1]) <= LARGEST_DIFFERENCE * least
    one, column = np.nonzero(near)
    other = places[one, column]
    return np.stack([one, other], axis=1)[one != other]


def _joined(pairs: np.ndarray, number: int) -> list[list[int]]:
    """Return the sets that ``pairs`` make of ``number`` places."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (number, number))
    _, names = connected_components(graph, directed=False)
    found: dict[int, list[int]] = {}
    for place in np.unique(pairs).tolist():
        found.setdefault(int(names[place]), []).append(place)
    return [*found.values()]
