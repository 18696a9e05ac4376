"""Training images per second: all-reduce beside one process, BigDL beside a bare script."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import median

from data.config import DataConfig, ImageConfig
from experiments.benchmark.figures import Figure, listed
from experiments.benchmark.harness import cells, epochs_beside_bare, run

_REFERENCE = "keras_local"
_COMPARED = ("tensorflowonspark", "spark_tensorflow_distributor")
_EPOCHS = 3


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield the ratio of each backend; the first epoch of a run warms up and is not counted."""
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
    names = (_REFERENCE, *_COMPARED)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(repeats):
        # Turn about, so that a machine which slows down favours none.
        for name in names if number % 2 == 0 else reversed(names):
            record = run(
                name, folder, config, epochs=_EPOCHS, batch_size=64, positive_class=positive
            )
            warm = record.epochs[1:]
            images = sum(epoch["images"] for epoch in warm)
            rates[name].append(images / sum(epoch["seconds"] for epoch in warm))
    for name in _COMPARED:
        pairs = zip(rates[name], rates[_REFERENCE], strict=True)
        ratio = median(one / other for one, other in pairs)
        single = f"{listed(rates[name])} over {listed(rates[_REFERENCE])} images/s"
        yield Figure(f"{name} / {_REFERENCE}", ratio, "x", 0.7, True, single)
