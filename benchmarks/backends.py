"""Training throughput: all-reduce backends relative to one process, BigDL to a bare script."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, listed
from benchmarks.harness import cells, epochs_beside_bare, run
from benchmarks.side_by_side import alternate, ratio
from data.config import DataConfig, ImageConfig

_REFERENCE = "keras_local"
_COMPARED = ("tensorflowonspark", "spark_tensorflow_distributor")
_EPOCHS = 3


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield the ratio of each backend; the first epoch of a run is a warm-up and is ignored."""
    yield from _all_reduce(folder, data, repeats)
    inside, bare = epochs_beside_bare("bigdl", folder, cells(folder, 60), repeats)
    warm = [epochs[1:] for epochs in inside]
    ratios = [median(other) / median(one) for one, other in zip(warm, bare, strict=True)]
    whole = median(chain(*bare)) / median(chain(*warm))
    yield Figure("BigDL / bare BigDL, images/s", whole, "x", 0.9, True, f"{listed(ratios)} by pair")


def _all_reduce(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    config = cells(folder, 60)
    if data:
        image = ImageConfig(height=50, width=50, color="grey")
        config = DataConfig(source=data, layout="malaria", image=image)
    positive = "Parasitized" if data else "all"

    def rate(name: str, _: int) -> float:
        record = run(name, folder, config, epochs=_EPOCHS, batch_size=64, positive_class=positive)
        warm = record.epochs[1:]
        return sum(epoch["images"] for epoch in warm) / sum(epoch["seconds"] for epoch in warm)

    rates = alternate((_REFERENCE, *_COMPARED), repeats, rate)
    for name in _COMPARED:
        yield ratio(f"{name} / {_REFERENCE}", rates, name, _REFERENCE, 0.7)
