"""An ingest continues whatever a file contains: each file is an image or a reject, never both."""

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.config import DataConfig, ImageConfig
from data.ingest import prepare
from data.schema import SPLITS

MUTATED = 3000
PATIENTS = 40
SIDE = 40

Mutation = Callable[[bytes, bytes, np.random.Generator], bytes]


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def originals() -> list[bytes]:
    """Return one image in the formats, modes and compressions found in folders of images."""
    generator = np.random.default_rng(8)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8))
    rgb = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    grey, palette, rgba = rgb.convert("L"), rgb.convert("P"), rgb.convert("RGBA")
    deep = Image.fromarray(generator.integers(0, 65536, (SIDE, SIDE), np.uint16))
    return [
        *(encoded(image, "BMP") for image in (rgb, grey, palette, rgb.convert("1"), rgba)),
        *(encoded(image, "PNG") for image in (rgb, grey, palette, rgb.convert("1"), rgba, deep)),
        *(encoded(image, "JPEG", quality=80) for image in (rgb, grey, rgb.convert("CMYK"))),
        encoded(rgb, "JPEG", progressive=True),
        *(
            encoded(rgb, "TIFF", compression=name)
            for name in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg")
        ),
        encoded(rgb.convert("1"), "TIFF", compression="group4"),
        encoded(deep, "TIFF", compression="tiff_lzw"),
        encoded(palette, "GIF"),
        encoded(palette, "GIF", save_all=True, append_images=[grey, palette]),
        encoded(rgb, "TIFF", save_all=True, append_images=[rgb.resize((9, 9))]),
        encoded(rgb, "WEBP", lossless=True),
        encoded(rgb, "WEBP", quality=80),
    ]


def flip_bits(content: bytes, _: bytes, generator: np.random.Generator) -> bytes:
    values = np.frombuffer(content, np.uint8).copy()
    count = generator.integers(1, 2 + len(values) // 20)
    places = generator.integers(len(values), size=count)
    values[places] ^= (1 << generator.integers(8, size=count)).astype(np.uint8)
    return values.tobytes()


def truncate(content: bytes, _: bytes, generator: np.random.Generator) -> bytes:
    return content[: generator.integers(len(content))]


def zero_a_range(content: bytes, _: bytes, generator: np.random.Generator) -> bytes:
    first, last = np.sort(generator.integers(len(content) + 1, size=2))
    return content[:first] + bytes(last - first) + content[last:]


def swap_chunks(content: bytes, _: bytes, generator: np.random.Generator) -> bytes:
    a, b, c, d = np.sort(generator.integers(len(content) + 1, size=4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def repeat_a_chunk(content: bytes, _: bytes, generator: np.random.Generator) -> bytes:
    first, last = np.sort(generator.integers(len(content) + 1, size=2))
    return content[:last] + content[first:last] * int(generator.integers(1, 20)) + content[last:]


def join_two_files(content: bytes, other: bytes, generator: np.random.Generator) -> bytes:
    """Combine the header of one format with the body of another."""
    cut = int(generator.integers(2, 80))
    return content[:cut] + other[cut:]


def lie_about_sizes(content: bytes, _: bytes, generator: np.random.Generator) -> bytes:
    """Write extreme 2-byte or 4-byte numbers where headers have widths, counts and offsets."""
    values = bytearray(content)
    extremes = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    for _lie in range(generator.integers(1, 4)):
        width = int(generator.choice([2, 4]))
        place = int(generator.integers(min(len(values) - width, 200)))
        number = int(generator.choice(extremes)) % 256**width
        order = str(generator.choice(["little", "big"]))
        values[place : place + width] = number.to_bytes(width, order)
    return bytes(values)


def change_a_header_byte(content: bytes, _: bytes, generator: np.random.Generator) -> bytes:
    values = bytearray(content)
    values[generator.integers(min(len(values), 120))] = generator.integers(256)
    return bytes(values)


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits, truncate, zero_a_range, swap_chunks, repeat_a_chunk, join_two_files, lie_about_sizes,
    change_a_header_byte,
)  # fmt: skip


def mutated(number: int) -> bytes:
    """Return a file with one or two mutations, determined by ``number``."""
    generator = np.random.default_rng([3, number])
    known = originals_once()
    content = known[number % len(known)]
    for _ in range(generator.integers(1, 3)):
        mutation = MUTATIONS[generator.integers(len(MUTATIONS))]
        if len(content) > 8:
            content = mutation(content, known[generator.integers(len(known))], generator)
    return content


_ORIGINALS: list[bytes] = []


def originals_once() -> list[bytes]:
    if not _ORIGINALS:
        _ORIGINALS.extend(originals())
    return _ORIGINALS


def folder_of_damaged_images(root: Path) -> list[str]:
    """Write the mutated files and one intact image per patient; return all paths."""
    suffixes = ("bmp", "PNG", "jpg", "tif", "gif", "webp")
    paths = []
    for number in range(PATIENTS + MUTATED):
        patient = number % PATIENTS
        path = Path(
            ("sick", "well")[patient % 2], f"p{patient}", f"{number}.{suffixes[number % 6]}"
        )
        whole = number < PATIENTS
        content = originals_once()[number % len(originals_once())] if whole else mutated(number)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        paths.append(str(path))
    return paths


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
def test_damaged_files_never_end_an_ingest_and_each_is_an_image_or_a_reject(tmp_path: Path) -> None:
    paths = folder_of_damaged_images(tmp_path / "source")
    config = DataConfig(
        source=str(tmp_path / "source"),
        layout="folders",
        group_pattern=r"(p\d+)/",
        image=ImageConfig(height=16, width=16),
        max_reject_share=1,
    )
    made = prepare(config, str(tmp_path / "out"))
    images = [path for split in SPLITS for path in made.index(split).column("path").to_pylist()]
    rejects = pq.read_table(tmp_path / "out" / "rejects.parquet").column("path").to_pylist()
    assert Counter([*images, *rejects]) == Counter(paths)
    assert set(paths[:PATIENTS]) <= set(images), "whole images are none of the rejects"
    assert min(len(images), len(rejects)) > MUTATED // 10, "the mutations are too mild or too hard"
