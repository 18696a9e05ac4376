"""Detection of a file's format from its name or its first bytes."""

from data.dicom import NEEDS_EXTRA, is_available
from data.schema import FORMAT, NO_IMAGE

#: File extensions of the supported formats, in lower case. Files are decoded according to their
#: content: the extension only marks them as images.
IMAGE_SUFFIXES = (
    ".apng", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff",
    ".webp",
)  # fmt: skip

#: File extensions of DICOM, which is read if the extra ``dicom`` is installed.
DICOM_SUFFIXES = (".dcm", ".dic", ".dicom", ".ima")
#: File that lists the files of a DICOM medium and is itself a DICOM file.
_DICOM_DIRECTORY = "dicomdir"

#: File extensions of unsupported image formats: medical, camera, whole-slide and array formats.
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

#: First bytes of supported formats, and of unsupported ones.
_READ = {
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF",
    b"II+\0": "TIFF", b"MM\0+": "TIFF",
}  # fmt: skip
_NOT_READ = {
    b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000", b"\x93NUMPY": "NumPy",
    b"%PDF": "PDF", b"%!PS": "PostScript", b"8BPS": "Photoshop", b"\0\0\0\x0cJXL ": "JPEG XL",
}  # fmt: skip
#: The DICOM signature follows 128 arbitrary bytes; old files start with an element of group 8. The
#: signatures of HEIF and AVIF follow a length field.
_DICOM_PLACE, _DICOM = 128, b"DICM"
_OLD_DICOM = (b"\x08\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x08\0\x16\0")
_BRANDS = {b"avi": "AVIF", b"hei": "HEIF", b"hev": "HEIF", b"mif": "HEIF"}
#: Number of leading bytes needed to detect a format.
FIRST_BYTES = _DICOM_PLACE + len(_DICOM)


def is_image(path: str) -> bool:
    """Return whether a file name has the extension of a supported format, ignoring case."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_dicom_name(path: str) -> bool:
    """Return whether a file name has an extension of DICOM, ignoring case."""
    return path.lower().endswith(DICOM_SUFFIXES)


def may_be_dicom(path: str) -> bool:
    """Return whether a file may be DICOM although its name has no extension."""
    name = path.rpartition("/")[2]
    return not has_ending(name) and name.lower() != _DICOM_DIRECTORY


def is_dicom(content: bytes) -> bool:
    """Return whether the first bytes of a file are those of a DICOM file."""
    return content[_DICOM_PLACE:FIRST_BYTES] == _DICOM or content.startswith(_OLD_DICOM)


def left_out_by_name(path: str) -> tuple[str, str]:
    """Return the kind of reject and the reason for a file that is not an image by its name."""
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
    """Return whether a file name has an extension that denotes a format.

    Names of exported DICOM files, such as ``IM000001`` or unique identifiers of numbers and dots,
    have none.
    """
    _, dot, ending = name.lstrip(".").rpartition(".")
    return bool(dot) and not ending.isdigit()


def left_out_by_content(first_bytes: bytes) -> tuple[str, str] | None:
    """Return kind of reject and reason for a file without an extension.

    The result is None if the first bytes are not those of a known image format.
    """
    other, known = other_format(first_bytes), _known_format(first_bytes)
    if other is not None:
        return FORMAT, _not_read(other)
    if known is not None:
        return FORMAT, f"{known} without an ending in its name: add it"
    return None


def refusal(content: bytes) -> str:
    """Return the reason why a file that no decoder accepts is not a usable image."""
    known = _known_format(content)
    if known is not None:
        return f"a {known} whose header cannot be read, or of a kind that is not supported"
    other = other_format(content)
    return "not an image" if other is None else _not_read(other)


def other_format(content: bytes) -> str | None:
    """Return the unsupported format detected from the first bytes, or None for other files."""
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
