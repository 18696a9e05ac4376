"""What names and sizes alone show to be odd in a source: nothing is opened to know it."""

import re
from collections import Counter
from collections.abc import Sequence

import pyarrow.compute as pc

from data.layouts.base import IMAGE_SUFFIXES, Index, suffix

#: Suffixes of image formats that are not read: of cameras, whole slides and arrays.
_OTHER_IMAGES = re.compile(
    r"\.(czi|dcm|gif|heic|jfif|jp2|lif|mrxs|nd2|ndpi|np[yz]|p[gp]m|psd|svs|vsi|webp)"
)
#: Examples in a note.
_SHOWN = 2


def oddities(index: Index) -> tuple[str, ...]:
    """Return what a reader should know of ``index``, one sentence each."""
    return tuple(_notes_on_files(index))


def _notes_on_files(index: Index) -> list[str]:
    files, images = index.files, index.table.column("path")
    used = pc.is_in(files.column("path"), images)
    nothing = pc.equal(files.column("source_bytes"), 0)
    empty = files.filter(pc.and_(used, nothing)).column("path").to_pylist()
    known = pc.or_(used, pc.is_in(files.column("path"), index.rejects.column("path")))
    left = files.filter(pc.invert(known)).column("path").to_pylist()
    other = [path for path in left if _OTHER_IMAGES.fullmatch(suffix(path))]
    unused = [path for path in left if suffix(path) in IMAGE_SUFFIXES]
    kinds = Counter(map(suffix, other))
    listed = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    told = (
        (empty, "Image files that are empty and will be rejected"),
        (other, f"Images of formats that are not read ({listed}), to be saved as PNG or TIFF"),
        (unused, f"Image files that the layout {index.layout} does not use"),
    )
    return [f"{words}: {len(paths):,} ({_examples(paths)})." for paths, words in told if paths]


def _examples(paths: Sequence[str]) -> str:
    return f"for example {', '.join(map(repr, sorted(paths)[:_SHOWN]))}"
