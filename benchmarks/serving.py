"""The service compared with the bare sum of its work and with ``mlflow models serve``.

The images are JPEG files of 450 x 450 pixels. The bare sum is decoding, resizing and inference of
one image after the other in this process. ``mlflow models serve`` gets the network in two forms: as
MLflow's own Keras flavor, to which clients send prepared pixels as JSON, and as the model that a
run records, which decodes and runs OpenVINO itself. With minutes, the service is also loaded for
that long by eight clients, of whose images one in twenty is broken.
"""

import base64
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from threading import Event, Thread

import numpy as np
from PIL import Image

from benchmarks.figures import Figure, listed
from benchmarks.harness import cells, run
from benchmarks.serving_load import Answered, http_request, load
from benchmarks.serving_processes import Server, mlflow_service, own_service
from data.process_environment import for_children
from data.project import ROOT
from experiments.errors import ExperimentError
from models.card import NETWORK
from serving import Classifier
from serving.classifier import classifier_folder
from serving.inputs import to_pixels

_SIDE, _IMAGES, _CLIENTS = 450, 40, 8
#: Duration of one measurement.
_SECONDS = 4.0
#: Images whose bare sum is measured.
_BARE = 200
#: Part of the time of a long load after which the memory is first read.
_WARM_SHARE = 0.2
_MEDIA_TYPE = "application/x-image"
#: Program that saves a network in MLflow's flavor for Keras.
_SAVE = """
import sys, keras, mlflow.keras
mlflow.keras.save_model(keras.models.load_model(sys.argv[1], compile=False), sys.argv[2])
"""
_NETWORKS = {
    "small_cnn": (64, {}),
    "ResNet50": (224, {"name": "transfer", "backbone": {"name": "ResNet50", "weights": "none"}}),
}


def measure(folder: Path, data: str | None, repeats: int, minutes: float = 0.0) -> Iterator[Figure]:
    """Yield latency, throughput, start and memory of the service."""
    del data  # All images of this size take about the same time.
    images = _images(folder)
    small = _recorded(folder, "small_cnn")
    yield from _beside_mlflow(folder, small, images, repeats)
    if minutes:
        yield from _under_load(folder, small, images, minutes)
    yield from _large(folder, images, repeats)


def _beside_mlflow(
    folder: Path, model: Path, images: Sequence[bytes], repeats: int
) -> Iterator[Figure]:
    bare_times: list[list[float]] = []
    alone, together = [], []
    rates: dict[str, list[float]] = {"own": [], "keras": [], "recorded": []}
    with (
        own_service(model, folder / "service.log") as own,
        mlflow_service(_keras_flavor(folder, model), folder / "keras.log") as keras,
        mlflow_service(model, folder / "recorded.log") as recorded,
    ):
        bare = _Bare(model, images)
        requests = {
            "own": [http_request(f"{own.url}/invocations", one, _MEDIA_TYPE) for one in images],
            "keras": [
                http_request(f"{keras.url}/invocations", *_pixels(bare.pixels(one)))
                for one in images
            ],
            "recorded": [
                http_request(f"{recorded.url}/invocations", *_frame(one)) for one in images
            ],
        }
        servers = {"own": own, "keras": keras, "recorded": recorded}
        for name, server in servers.items():
            _checked(load(server.url, requests[name], clients=_CLIENTS, seconds=2))
        for _ in range(repeats):
            bare_times.append(bare.milliseconds())
            alone.append(_p95(load(own.url, requests["own"], clients=1, seconds=_SECONDS)))
            for name, server in servers.items():
                answers = load(server.url, requests[name], clients=_CLIENTS, seconds=_SECONDS)
                rates[name].append(len(_checked(answers)) / _SECONDS)
                if name == "own":
                    together.append(_p95(answers))
        memory = {name: server.memory() / 2**20 for name, server in servers.items()}
    yield _latency("small_cnn", alone, bare_times)
    yield Figure("service, 8 clients, p95", median(together), "ms", 45, False, listed(together))
    yield _rates("mlflow models serve, Keras flavor", rates["own"], rates["keras"], 20)
    yield _rates("mlflow models serve, recorded model", rates["own"], rates["recorded"], None)
    yield from _start(folder, model, repeats, keras)
    single = f"mlflow models serve {memory['keras']:,.0f} and {memory['recorded']:,.0f} MB"
    yield Figure("service, memory (PSS)", memory["own"], "MB", 250, False, single)


def _rates(
    other: str, own: Sequence[float], theirs: Sequence[float], target: float | None
) -> Figure:
    ratios = [one / their for one, their in zip(own, theirs, strict=True)]
    single = f"{listed(own)} over {listed(theirs)} requests/s"
    return Figure(f"service / {other}, 8 clients", median(ratios), "x", target, True, single)


def _start(folder: Path, model: Path, repeats: int, other: Server) -> Iterator[Figure]:
    servers = []
    for _ in range(repeats):
        with own_service(model, folder / "start.log") as server:
            servers.append(server)
    seconds = [server.ready_seconds for server in servers]
    cpu = median(server.ready_cpu_seconds for server in servers)
    single = (
        f"{listed(seconds)}; {cpu:.2f} s of CPU time; mlflow models serve "
        f"{other.ready_seconds:.1f} s, {other.ready_cpu_seconds:.1f} s of CPU time"
    )
    yield Figure("service, ready", median(seconds), "s", 2, False, single)


def _large(folder: Path, images: Sequence[bytes], repeats: int) -> Iterator[Figure]:
    model = _recorded(folder, "ResNet50")
    bare = _Bare(model, images)
    bare_times: list[list[float]] = []
    alone = []
    with own_service(model, folder / "large.log") as own:
        requests = [http_request(f"{own.url}/invocations", one, _MEDIA_TYPE) for one in images]
        load(own.url, requests, clients=1, seconds=1)
        for _ in range(repeats):
            bare_times.append(bare.milliseconds(_IMAGES))
            alone.append(_p95(load(own.url, requests, clients=1, seconds=_SECONDS)))
    yield _latency("ResNet50 at 224", alone, bare_times)


def _under_load(
    folder: Path, model: Path, images: Sequence[bytes], minutes: float
) -> Iterator[Figure]:
    """Yield the wrong answers and the growth of memory under a long load."""
    broken = [(b"no image", 415), (images[0][:9000], 422), (b"", 400), (images[1][2:], 415)]
    cases = [(images[number % _IMAGES], 200) for number in range(19 * len(broken))] + broken
    with own_service(model, folder / "load.log") as own:
        requests = [http_request(f"{own.url}/invocations", one, _MEDIA_TYPE) for one, _ in cases]
        memory, ended = [], Event()

        def watch() -> None:
            while not ended.wait(1):
                memory.append(own.anonymous_memory() / 2**20)

        watching = Thread(target=watch)
        watching.start()
        answers = load(own.url, requests, clients=_CLIENTS, seconds=60 * minutes)
        ended.set()
        watching.join()
    wrong = [one for one in answers if one.status != cases[one.request][1]]
    found = sorted({one.status for one in wrong})
    single = f"{len(answers):,} answers, p95 {_p95(answers, check=False):.1f} ms; statuses {found}"
    name = f"service, wrong answers in {minutes:g} minutes of load"
    yield Figure(name, len(wrong), "", 0, False, single)
    warm = memory[int(_WARM_SHARE * len(memory)) :]
    part = max(1, len(warm) // 5)
    first, last = median(warm[:part]), median(warm[-part:])
    single = f"{first:,.0f} and {last:,.0f} MB"
    yield Figure("service, memory at the end / at first", last / first, "x", 1.05, False, single)


def _latency(network: str, alone: Sequence[float], bare: Sequence[Sequence[float]]) -> Figure:
    limits = [1.5 * median(times) + 3 for times in bare]
    ratios = [one / limit for one, limit in zip(alone, limits, strict=True)]
    # On a busy machine the bare sum has a long tail, too.
    tails = [float(np.percentile(times, 95)) for times in bare]
    single = f"{listed(alone)} over {listed(limits)} ms; p95 of the bare sum {listed(tails)} ms"
    name = f"service, {network}, 1 client, p95 / (1.5 x bare sum + 3 ms)"
    return Figure(name, median(ratios), "x", 1, False, single)


class _Bare:
    """Work of one request without a service."""

    def __init__(self, model: Path, images: Sequence[bytes]) -> None:
        self._classifier = Classifier.open(model)
        self._images = images
        self.milliseconds(_IMAGES)

    def pixels(self, image: bytes) -> np.ndarray:
        """Return an image as pixels of the size of the network."""
        return to_pixels(image, self._classifier.card.image)

    def milliseconds(self, count: int = _BARE) -> list[float]:
        """Return the times of decoding, resizing and inference of one image each."""
        times = []
        for number in range(count):
            began = time.perf_counter()
            self._classifier.of_pixels(self.pixels(self._images[number % _IMAGES])[None])
            times.append(1000 * (time.perf_counter() - began))
        return times


def _images(folder: Path) -> list[bytes]:
    source = Path(cells(folder, 4, _SIDE).source)
    generator = np.random.default_rng(0)
    contents = []
    for path in sorted(source.rglob("*.bmp"))[:_IMAGES]:
        # Photographs have noise, without which their files would be several times smaller.
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(np.int16)
        noise = generator.integers(-12, 13, pixels.shape)
        file = io.BytesIO()
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(
            file, "JPEG", quality=90
        )
        contents.append(file.getvalue())
    return contents


def _recorded(folder: Path, network: str) -> Path:
    """Return the folder of a model that a run has recorded."""
    import mlflow

    side, model = _NETWORKS[network]
    more = {"model": model} if model else {}
    record = run("keras_local", folder, cells(folder, 20, side), epochs=1, **more)
    return Path(
        mlflow.artifacts.download_artifacts(
            run_id=record.run_id,
            artifact_path="model",
            tracking_uri=record.tracking_uri,
            dst_path=str(folder / f"model-{network}"),
        )
    )


def _keras_flavor(folder: Path, model: Path) -> Path:
    """Return the folder of the same network in MLflow's flavor for Keras."""
    target = folder / "keras-flavor"
    subprocess.run(
        [sys.executable, "-c", _SAVE, str(classifier_folder(model) / NETWORK), str(target)],
        cwd=ROOT,
        env=for_children(here=True),
        check=True,
        capture_output=True,
    )
    return target


def _pixels(pixels: np.ndarray) -> tuple[bytes, str]:
    """Return the body and the media type of a request to MLflow's server for the Keras flavor."""
    return json.dumps({"instances": [pixels.tolist()]}).encode(), "application/json"


def _frame(image: bytes) -> tuple[bytes, str]:
    """Return the body and the media type of a request to MLflow's server for a recorded model."""
    text = base64.b64encode(image).decode()
    document = {"dataframe_split": {"columns": ["content"], "data": [[text]]}}
    return json.dumps(document).encode(), "application/json"


def _p95(answers: Sequence[Answered], *, check: bool = True) -> float:
    """Return the 95th percentile of the latency in milliseconds."""
    if check:
        _checked(answers)
    return float(np.percentile([1000 * one.seconds for one in answers], 95))


def _checked(answers: Sequence[Answered]) -> Sequence[Answered]:
    if wrong := sorted({one.status for one in answers if one.status != 200}):
        raise ExperimentError(f"a server answered with the status {wrong}")
    return answers
