"""Pixels of a DICOM file in 8 bits, as a viewer displays them."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.depth import NoFixedRange
from data.dicom import problem_of

if TYPE_CHECKING:
    from pydicom import Dataset

#: Rows that are scaled at once: scaling needs eight bytes per pixel in addition to the image.
_BAND = 256
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PALETTE = "PALETTE COLOR"
_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
#: Bit depth of a VOI lookup table whose entry count pydicom would truncate.
_BYTE = 8
#: Values beyond any in a file, for which a window returns its darkest and its brightest value.
_ENDS = np.array([-1e30, 1e30])


class NotUsable(Exception):  # noqa: N818 - a property of the file
    """Exception for a DICOM file that is not a single image or that no installed decoder reads."""


@dataclass(frozen=True)
class Pixels:
    """Decoded pixels of a DICOM file."""

    #: uint8, shape (rows, columns) for grayscale and (rows, columns, 3) for color.
    values: np.ndarray
    #: Number of bits that the largest value needs if the file declares 16 bits and no window, else
    #: None.
    bits: int | None = None
    #: True if an image without a window uses less than a quarter of the range that it declares.
    is_narrow: bool = False


def read_pixels(content: bytes, most_pixels: int) -> Pixels:
    """Decode a DICOM file to 8 bits.

    Grayscale values pass through the modality transform (RescaleSlope and RescaleIntercept, or the
    modality lookup table) and the first window, or else the VOI lookup table. Without either, the
    range is that of BitsStored, so that images stay comparable. MONOCHROME1, in which 0 is white,
    is inverted. YBR and palette colors are converted to RGB.

    Parameters
    ----------
    content
        Content of the whole file.
    most_pixels
        Maximum number of pixels; larger images are refused before they are decoded.

    Raises
    ------
    NotUsable
        If the file has several frames or no pixels, is too large, or is compressed in a way that no
        installed decoder supports; the message gives the reason.
    data.depth.NoFixedRange
        If the pixel values have no defined maximum.
    Exception
        Any exception that pydicom raises for damaged files.
    """
    from pydicom import dcmread
    from pydicom.pixels import apply_color_lut, pixel_array

    dataset = dcmread(io.BytesIO(content), force=True)
    _refuse(dataset, most_pixels)
    values = pixel_array(dataset)
    kind = dataset.PhotometricInterpretation
    if kind == _PALETTE:
        return Pixels(_upper_8_bits(apply_color_lut(values, dataset), None))
    if kind in _COLOUR:
        return Pixels(_upper_8_bits(values, int(dataset.BitsStored)))
    return _grey(values, dataset)


def _refuse(dataset: "Dataset", most_pixels: int) -> None:
    """Raise NotUsable unless the data set is a single image that can be decoded."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import ImplicitVRLittleEndian

    problem = problem_of(dataset)
    if problem is None and not any(element in dataset for element in _ELEMENTS):
        problem = "a DICOM file without pixels"
    if problem is not None:
        raise NotUsable(problem)
    if "PixelData" not in dataset:
        raise NoFixedRange("floating-point pixels have no fixed range: save as 8 or 16 bits")
    if dataset.Rows * dataset.Columns > most_pixels:
        raise NotUsable(
            f"{dataset.Columns} x {dataset.Rows} is more than {most_pixels:,} pixels: "
            "cut the image into parts"
        )
    kind = dataset.get("PhotometricInterpretation")
    if kind not in (*_GREY, *_COLOUR, _PALETTE):
        raise NotUsable(f"DICOM of the PhotometricInterpretation {kind} is not read")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:  # old files without a file meta header
        dataset.file_meta.TransferSyntaxUID = syntax = ImplicitVRLittleEndian
    try:
        is_known = get_decoder(syntax).is_available
    except NotImplementedError:
        is_known = False
    if not is_known:
        raise NotUsable(
            f"DICOM compressed as {syntax.name}, for which no decoder is installed: save it "
            "uncompressed"
        )


def _upper_8_bits(values: np.ndarray, bits: int | None) -> np.ndarray:
    """Return color values in 8 bits; None stands for the bit depth of their dtype."""
    shift = (bits or values.dtype.itemsize * 8) - 8
    return (values >> shift).astype(np.uint8) if shift > 0 else values.astype(np.uint8)


def _grey(stored: np.ndarray, dataset: "Dataset") -> Pixels:
    if dataset.BitsAllocated > 16 and not _has_window(dataset):
        raise NoFixedRange("32-bit pixels have no fixed range: save as 8 or 16 bits")
    shown = _Transform(dataset)
    dark, bright = shown.range()
    if not np.isfinite([dark, bright]).all() or dark == bright:
        raise NoFixedRange("its RescaleSlope and window leave no range of gray levels")
    pixels = np.empty(stored.shape, np.uint8)
    for top in range(0, len(stored), _BAND):
        band = (shown.apply(stored[top : top + _BAND]) - dark) / (bright - dark)
        pixels[top : top + _BAND] = np.round(np.clip(band, 0, 1) * 255)
    low, high = int(stored.min()), int(stored.max())
    first, last = _stored_range(dataset)
    is_open = not shown.has_view and last - first > 255
    declares_16 = first == 0 and last == 65_535
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = np.invert(pixels)
    return Pixels(
        pixels,
        bits=high.bit_length() if is_open and declares_16 else None,
        is_narrow=is_open and not declares_16 and (high - low) * 4 < last - first,
    )


class _Transform:
    """Pointwise transform from stored to displayed values."""

    def __init__(self, dataset: "Dataset") -> None:
        self._dataset = dataset
        self._window = _has_window(dataset)
        self._table = None if self._window else _table(dataset)
        #: True when the file defines a window of displayed values.
        self.has_view = self._window or self._table is not None

    def apply(self, stored: np.ndarray) -> np.ndarray:
        from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

        values = apply_modality_lut(stored, self._dataset)
        if self._window:
            return apply_windowing(values, self._dataset)
        if self._table is not None:
            return apply_voi(values.astype(np.int32), self._dataset).astype(np.float64)
        return values.astype(np.float64)

    def range(self) -> tuple[float, float]:
        """Return the values that become black and white."""
        from pydicom.pixels import apply_modality_lut, apply_windowing

        dataset = self._dataset
        if self._window:
            dark, bright = apply_windowing(_ENDS, dataset)
            return float(dark), float(bright)
        if self._table is not None:
            return 0.0, float(2**self._table - 1)
        if dataset.get("ModalityLUTSequence"):
            return 0.0, float(2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1)
        ends = apply_modality_lut(np.array(_stored_range(dataset), np.float64), dataset)
        return float(ends.min()), float(ends.max())


def _stored_range(dataset: "Dataset") -> tuple[int, int]:
    """Return the smallest and the largest value that BitsStored allows."""
    values = 2**dataset.BitsStored
    return (-values // 2, values // 2 - 1) if dataset.PixelRepresentation else (0, values - 1)


def _has_window(dataset: "Dataset") -> bool:
    """Return whether a file has a window of positive width; some programs write a width of 0."""
    center, width = (_first(dataset.get(tag)) for tag in ("WindowCenter", "WindowWidth"))
    linear = dataset.get("VOILUTFunction", "LINEAR") == "LINEAR"
    return center is not None and width is not None and (width > 1 if linear else width > 0)


def _first(value: Any) -> float | None:
    """Return the first number of an element, or None if the element is missing or empty."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float):
        return float(value)
    return float(value[0]) if len(value) else None


def _table(dataset: "Dataset") -> int | None:
    """Return the bit depth of the VOI lookup table, or None if there is none."""
    sequence = dataset.get("VOILUTSequence")
    if not sequence or "LUTData" not in sequence[0] or "LUTDescriptor" not in sequence[0]:
        return None
    bits = int(sequence[0].LUTDescriptor[2])
    if bits == _BYTE:
        # pydicom would also store the number of entries in 8 bits, but there may be thousands.
        sequence[0].LUTDescriptor[2] = 16
    return bits
