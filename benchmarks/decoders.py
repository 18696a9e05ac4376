"""Image decoders compared with the one in use, image by image on one core.

Usage: ``uv run --extra decoders sparkdl-bench benchmark --part decoders``. Decoders that are not
installed, or cannot read a kind of file, are skipped. Resizing is included in the time, because a
decoder that scales while decoding does less work.
"""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.figures import Figure, listed
from benchmarks.harness import cells
from data.images import decode

Decoder = Callable[[bytes, int], np.ndarray]

_IMAGES = 100
#: Name of the kind of file, its format, its height and width, and the side after resizing (pixels).
_KINDS = (
    ("BMP 450 x 450 to 96", "BMP", (450, 450), 96),
    ("PNG 50 x 50 to 48", "PNG", (50, 50), 48),
    ("JPEG 150 x 200 to 100", "JPEG", (150, 200), 100),
    ("JPEG 450 x 600 to 100", "JPEG", (450, 600), 100),
)


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield the throughput of each decoder relative to the one in use, for each kind of file."""
    del data  # The files of all kinds are made from synthetic cells.
    source = Path(cells(folder, 4, 450).source)
    pictures = [Image.open(path) for path in sorted(source.rglob("*.bmp"))[:_IMAGES]]
    for kind, file_format, (height, width), side in _KINDS:
        contents = [_encoded(picture, file_format, height, width) for picture in pictures]
        decoders = {name: one for name, one in _decoders().items() if _reads(one, contents[0])}
        rates: dict[str, list[float]] = {name: [] for name in decoders}
        for _ in range(repeats):
            for name, decoder in decoders.items():
                rates[name].append(_rate(decoder, contents, side))
        own = rates.pop("in use")
        exact = [_exact(content, side) for content in contents]
        for name, found in rates.items():
            ratios = [one / other for one, other in zip(found, own, strict=True)]
            error = _difference(decoders[name], contents, exact, side)
            single = (
                f"{listed(found)} over {listed(own)} images/s, "
                f"{error:.2f} gray levels from an exact resize "
                f"(in use {_difference(decoders['in use'], contents, exact, side):.2f})"
            )
            yield Figure(f"{name} / in use, {kind}", median(ratios), "x", None, True, single)


def _decoders() -> dict[str, Decoder]:
    found: dict[str, Decoder] = {"in use": lambda content, side: decode(content, side, side, "rgb")}
    for name, make in (("opencv", _opencv), ("pyvips", _pyvips), ("simplejpeg", _simplejpeg)):
        try:
            found[name] = make()
        except ImportError:
            continue
    return found


def _opencv() -> Decoder:
    import cv2

    cv2.setNumThreads(1)

    def run(content: bytes, side: int) -> np.ndarray:
        flags = cv2.IMREAD_COLOR
        width, height = Image.open(io.BytesIO(content)).size
        if content[:2] == b"\xff\xd8" and min(width, height) >= 4 * side:
            flags = cv2.IMREAD_REDUCED_COLOR_2
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)

    return run


def _pyvips() -> Decoder:
    import pyvips

    pyvips.cache_set_max(0)

    def run(content: bytes, side: int) -> np.ndarray:
        image = pyvips.Image.thumbnail_buffer(content, side, height=side, size="force")
        return np.frombuffer(image.write_to_memory(), np.uint8).reshape(side, side, image.bands)

    return run


def _simplejpeg() -> Decoder:
    import simplejpeg

    def run(content: bytes, side: int) -> np.ndarray:
        pixels = simplejpeg.decode_jpeg(content, min_height=2 * side, min_width=2 * side)
        image = Image.fromarray(pixels)
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0))

    return run


def _encoded(picture: Image.Image, file_format: str, height: int, width: int) -> bytes:
    content = io.BytesIO()
    picture.resize((width, height), Image.Resampling.BICUBIC).save(content, file_format, quality=92)
    return content.getvalue()


def _reads(decoder: Decoder, content: bytes) -> bool:
    try:
        decoder(content, 16)
    except Exception:  # Each library raises different exceptions.
        return False
    return True


def _rate(decoder: Decoder, contents: list[bytes], side: int) -> float:
    """Return images per second of CPU time, which other processes affect less than wall time."""
    began = time.process_time()
    for content in contents:
        decoder(content, side)
    return len(contents) / (time.process_time() - began)


def _exact(content: bytes, side: int) -> np.ndarray:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)).astype(int)


def _difference(
    decoder: Decoder, contents: list[bytes], exact: list[np.ndarray], side: int
) -> float:
    return float(
        np.mean(
            [
                np.abs(decoder(content, side)[..., :3].astype(int) - wanted).mean()
                for content, wanted in zip(contents, exact, strict=True)
            ]
        )
    )
