"""Formats, color modes and sizes of the files of a source, and how each is processed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.layouts.paths import suffix

if TYPE_CHECKING:
    import pandas as pd

#: Sizes that are listed separately; the others are counted together.
SIZES_SHOWN = 8
#: Share of each class that its most common size or format must have to be reported as a shortcut.
_MOSTLY = 0.9

_FORMAT_OF = {
    ".apng": {"PNG"},
    ".bmp": {"BMP", "DIB"},
    ".dib": {"BMP", "DIB"},
    ".gif": {"GIF"},
    ".png": {"PNG"},
    ".jfif": {"JPEG", "MPO"},
    ".jpe": {"JPEG", "MPO"},
    ".jpg": {"JPEG", "MPO"},
    ".jpeg": {"JPEG", "MPO"},
    ".tif": {"TIFF"},
    ".tiff": {"TIFF"},
    ".webp": {"WEBP"},
}
_MODES = {
    "1": "black and white",
    "L": "gray",
    "LA": "gray with transparency",
    "P": "palette",
    "PA": "palette with transparency",
    "RGB": "RGB",
    "RGBA": "RGB with transparency",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
    "LAB": "Lab",
    "HSV": "HSV",
    "F": "floating point",
    "I": "32 bits",
}


@dataclass(frozen=True)
class Kind:
    """Files of one format and color mode."""

    name: str
    #: Conversion that decoding applies to the files.
    treatment: str
    #: Number of images.
    images: int
    #: Path of one file.
    example: str


def kinds(frame: "pd.DataFrame") -> list[Kind]:
    """Return the kinds of files, most common first, without files whose header is unreadable.

    Parameters
    ----------
    frame
        Table of a `data.exploration.survey.Survey` of files.
    """
    known = frame.dropna(subset=["format"])
    flags = {name: known[name].eq(True) for name in ("transparent", "turned")}
    known = known.assign(several=known["frames"].gt(1), **flags)
    columns = ["format", "mode", "transparent", "turned", "several"]
    found = []
    for (form, mode, transparent, turned, several), group in known.groupby(columns):
        treatment = [_treatment(mode, transparent)]
        if turned:
            treatment.append("rotated according to EXIF")
        if several:
            of_tiff = "the largest page is used, or the first of several equally large"
            treatment.append(of_tiff if form == "TIFF" else "the first of several frames is used")
        name = f"{form}, {_MODES.get(mode, '16 bits' if mode.startswith('I;') else mode)}"
        extras = (("transparent", transparent and "transparency" not in name), ("rotated", turned))
        name += "".join(f", {word}" for word, applies in extras if applies)
        name += ", several frames" if several else ""
        done = "; ".join(filter(None, treatment)) or "used as it is"
        found.append(Kind(name, done, len(group), group["path"].iloc[0]))
    return sorted(found, key=lambda kind: -kind.images)


def sizes(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the number of images of each class (columns) by size, most common size first."""
    known = frame.dropna(subset=["width"])
    names = known["width"].astype(int).astype(str) + " x " + known["height"].astype(int).astype(str)
    counted = known.groupby([names.rename("size"), "class_name"]).size().unstack(fill_value=0)
    order = counted.sum(axis=1).sort_values(ascending=False, kind="stable").index
    counted = counted.loc[order]
    if len(counted) > SIZES_SHOWN + 1:
        rest = counted.iloc[SIZES_SHOWN:]
        counted = counted.iloc[:SIZES_SHOWN]
        counted.loc[f"{len(rest):,} other sizes"] = rest.sum()
    return counted


def misnamed(frame: "pd.DataFrame") -> list[str]:
    """Return the paths whose suffix does not match the format of the content."""
    known = frame.dropna(subset=["format"])
    return [
        path
        for path, form in zip(known["path"], known["format"], strict=True)
        if form not in _FORMAT_OF.get(suffix(path), {form})
    ]


def file_shortcuts(frame: "pd.DataFrame") -> list[str]:
    """Return sentences on classes that file size or format alone distinguishes: a shortcut."""
    known = frame.dropna(subset=["width"])
    size = known["width"].astype(int).astype(str) + " x " + known["height"].astype(int).astype(str)
    sentences = []
    for what, values in (("size", size), ("format", known["format"])):
        shares = values.groupby(known["class_name"]).value_counts(normalize=True, sort=True)
        if shares.empty:
            continue
        first = shares.groupby(level=0).head(1).reset_index()
        first.columns = ["class_name", "value", "share"]
        if first["value"].nunique() > 1 and (first["share"] >= _MOSTLY).all():
            listed = ", ".join(
                f"{row.class_name} {row.value}" for row in first.itertuples(index=False)
            )
            sentences.append(
                f"The {what} of a file reveals the class ({listed}): a network may learn that "
                "instead of the disease."
            )
    return sentences


def _treatment(mode: str, transparent: bool) -> str:
    if mode.startswith("I"):
        return "16 bits scaled to 8 by the range given in the TIFF, or by that of the type"
    if mode == "F":
        return "rejected: floating-point pixels have no fixed range"
    if mode == "P":
        colors = "colors looked up in the palette"
        return f"{colors}; transparent pixels become black" if transparent else colors
    if transparent:
        return "transparent pixels become black"
    if mode in {"CMYK", "YCbCr", "LAB", "HSV"}:
        return "converted to RGB, ignoring color profiles"
    return ""
