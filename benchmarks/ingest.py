"""Ingest and feeding, compared with a bare loop of the decoder and with Spark's image source.

With ``data``, any folder of images is measured, ideally the 15,114 images of 450 x 450 of C-NMC;
without it, 6,000 synthetic cells of that size.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, listed
from benchmarks.harness import cells
from benchmarks.side_by_side import alternate, in_own_process, ratio
from data.config import DataConfig, ImageConfig
from data.layouts import read_index

_PATIENTS, _SIZE, _PREPARED_SIZE = 120, 450, 96
#: Ratio of the sizes of the two data sets whose memory is compared.
_PART = 10


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield ratios of rates, peak memory, and the share of time that training waits for images."""
    source = DataConfig(source=data) if data else cells(folder, _PATIENTS, _SIZE)
    image = ImageConfig(height=_PREPARED_SIZE, width=_PREPARED_SIZE)
    config = source.model_copy(update={"image": image})
    ways = ("prepare", "bare", "image_source")
    found = alternate(
        ways, repeats, lambda way, number: _run(way, config, folder / f"{way}-{number}")
    )
    rates = {way: [one["images_per_s"] for one in measured] for way, measured in found.items()}
    rates["job"] = [one["decoded_per_s"] for one in found["prepare"]]
    yield ratio("Spark job of an ingest / bare loop of the decoder", rates, "job", "bare", 0.8)
    yield ratio("whole ingest / bare loop of the decoder", rates, "prepare", "bare", None)
    name = "whole ingest / Spark's image source with a Python resize"
    yield ratio(name, rates, "prepare", "image_source", 3.0)
    yield Figure(
        "ingest", median(rates["prepare"]), "images/s", 250, True, listed(rates["prepare"])
    )
    yield from _memory(folder, config, found["prepare"])
    waits = [_run("feed", config, folder / "prepare-0")["waiting"] * 100 for _ in range(repeats)]
    yield Figure(
        "waiting for images, small_cnn", median(waits), "% of an epoch", 10, False, listed(waits)
    )


def _memory(folder: Path, config: DataConfig, whole: list[dict[str, float]]) -> Iterator[Figure]:
    """Yield the driver's peak memory relative to a tenth of the images, and the executor's."""
    tenth = config.model_copy(update={"source": str(_thinned(config, folder / "tenth"))})
    small = _run("prepare", tenth, folder / "prepared-tenth")["driver_bytes"]
    large = max(one["driver_bytes"] for one in whole)
    measured = f"{small / 2**20:,.0f} and {large / 2**20:,.0f} MiB"
    yield Figure(f"driver of an ingest, {_PART} x images", large / small, "x", 1.2, False, measured)
    largest = [one["executor_bytes"] / 2**30 for one in whole]
    yield Figure("executor of an ingest", max(largest), "GiB", 1.86, False, listed(largest))


def _thinned(config: DataConfig, folder: Path) -> Path:
    """Return a folder of symbolic links to every tenth image, with the same relative paths."""
    index = read_index(config)
    for path in sorted(index.table.column("path").to_pylist())[::_PART]:
        link = folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(index.root).absolute() / path)
    return folder


def _run(way: str, config: DataConfig, output: Path) -> dict[str, float]:
    """Measure one way in a separate process."""
    return in_own_process(
        "benchmarks.ingesting",
        way,
        config.model_dump_json(),
        str(output),
        environment={"OMP_NUM_THREADS": "2", "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
