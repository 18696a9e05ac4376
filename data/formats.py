"""Recognition of a file's format by its name or its first bytes."""

from data.dicom import NEEDS_EXTRA, is_available
from data.schema import FORMAT, NO_IMAGE

#: Endings of the formats that are read, in small letters. A file is read by its content: an ending
#: only says that it is meant to be an image.
IMAGE_SUFFIXES = (
    ".apng", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff",
    ".webp",
)  # fmt: skip

#: Endings of DICOM, which is read where the extra ``dicom`` is installed.
DICOM_SUFFIXES = (".dcm", ".dic", ".dicom", ".ima")
#: The list of the files of a DICOM medium, itself a DICOM file.
_DICOM_DIRECTORY = "dicomdir"

#: Endings of image formats that are not read: of medicine, cameras, whole slides and arrays.
_OTHER_FORMATS = {
    "AVIF": (".avif", ".avifs"),
    "DICOM": DICOM_SUFFIXES,
    "HEIF": (".heic", ".heif", ".hif"),
    "JPEG 2000": (".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx"),
    "JPEG XL": (".jxl",),
    "NIfTI": (".nii", ".nii.gz"),
    "NumPy": (".npy", ".npz"),
    "MetaImage": (".mha", ".mhd"),
    "NRRD": (".nhdr", ".nrrd"),
    "OpenEXR": (".exr",),
    "PDF": (".pdf",),
    "PostScript": (".eps", ".ps"),
    "Photoshop": (".psb", ".psd"),
    "SVG": (".svg", ".svgz"),
    "a camera's raw format": (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"),
    "a microscope's own format": (
        ".czi", ".ims", ".lif", ".lsm", ".nd2", ".oib", ".oif", ".oir", ".stk", ".zvi",
    ),
    "a portable map (PNM)": (".pbm", ".pgm", ".pnm", ".ppm"),
    "a whole slide": (".bif", ".mrxs", ".ndpi", ".scn", ".svs", ".vms", ".vsi"),
    "an icon": (".icns", ".ico"),
    "TGA": (".tga",),
}  # fmt: skip
_FORMAT_OF_SUFFIX = {suffix: name for name, known in _OTHER_FORMATS.items() for suffix in known}
_OTHER_SUFFIXES = tuple(_FORMAT_OF_SUFFIX)

#: First bytes of formats that are read, and of those that are not.
_READ = {
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF",
    b"II+\0": "TIFF", b"MM\0+": "TIFF",
}  # fmt: skip
_NOT_READ = {
    b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000", b"\x93NUMPY": "NumPy",
    b"%PDF": "PDF", b"%!PS": "PostScript", b"8BPS": "Photoshop", b"\0\0\0\x0cJXL ": "JPEG XL",
}  # fmt: skip
#: DICOM begins with 128 bytes of anything, or in old files with an element of group 8. HEIF and
#: AVIF name themselves behind a length.
_DICOM_PLACE, _DICOM = 128, b"DICM"
_OLD_DICOM = (b"\x08\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x08\0\x16\0")
_BRANDS = {b"avi": "AVIF", b"hei": "HEIF", b"hev": "HEIF", b"mif": "HEIF"}
#: Bytes by which a format is known.
FIRST_BYTES = _DICOM_PLACE + len(_DICOM)


def is_image(path: str) -> bool:
    """Tell whether the ending of a name is that of a format that is read, in any case."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_dicom_name(path: str) -> bool:
    """Tell whether the ending of a name is that of DICOM, in any case."""
    return path.lower().endswith(DICOM_SUFFIXES)


def may_be_dicom(path: str) -> bool:
    """Tell whether only the first bytes of a file can say that it is DICOM."""
    name = path.rpartition("/")[2]
    return not has_ending(name) and name.lower() != _DICOM_DIRECTORY


def is_dicom(content: bytes) -> bool:
    """Tell whether the first bytes of a file are those of DICOM."""
    return content[_DICOM_PLACE:FIRST_BYTES] == _DICOM or content.startswith(_OLD_DICOM)


def left_out_by_name(path: str) -> tuple[str, str]:
    """Return the kind of reject and the reason for a file that no layout takes for an image."""
    name = path.rpartition("/")[2].lower()
    if name == _DICOM_DIRECTORY:
        return NO_IMAGE, "the list of the files of a DICOM medium"
    if name.endswith(_OTHER_SUFFIXES):
        longest = max((s for s in _OTHER_SUFFIXES if name.endswith(s)), key=len)
        return FORMAT, _not_read(_FORMAT_OF_SUFFIX[longest])
    if not has_ending(name):
        return NO_IMAGE, "its name has no ending: add that of its format if it is an image"
    return NO_IMAGE, f"its ending {name[name.rfind('.') :]} is not that of an image"


def has_ending(name: str) -> bool:
    """Tell whether a file's name says a format.

    Hospitals export DICOM as ``IM000001`` or by unique identifiers of numbers and dots.
    """
    _, dot, ending = name.lstrip(".").rpartition(".")
    return bool(dot) and not ending.isdigit()


def left_out_by_content(first_bytes: bytes) -> tuple[str, str] | None:
    """Return kind and reason for a file without an ending, None for one that is no image."""
    other, known = other_format(first_bytes), _known_format(first_bytes)
    if other is not None:
        return FORMAT, _not_read(other)
    if known is not None:
        return FORMAT, f"{known} without an ending in its name: add it"
    return None


def refusal(content: bytes) -> str:
    """Return why bytes that no decoder takes are no usable image."""
    known = _known_format(content)
    if known is not None:
        return f"a {known} whose header cannot be read, or of a kind that is not supported"
    other = other_format(content)
    return "not an image" if other is None else _not_read(other)


def other_format(content: bytes) -> str | None:
    """Return the format that is not read by its first bytes, None for others."""
    if is_dicom(content):
        return "DICOM"
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:11])
    return _by_first_bytes(content, _NOT_READ)


def _known_format(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    return _by_first_bytes(content, _READ)


def _by_first_bytes(content: bytes, known: dict[bytes, str]) -> str | None:
    return next((name for first, name in known.items() if content.startswith(first)), None)


def _not_read(name: str) -> str:
    if name == "DICOM" and not is_available():
        return NEEDS_EXTRA
    return f"{name} is not read: save it as PNG or TIFF"
