"""Column names and types of everything the data room writes."""

import pyarrow as pa

SPLITS = ("train", "validation", "test")

#: One row for each image of a prepared data set. ``pixels`` holds height x width x channels
#: unsigned bytes, row-major. ``group`` is what the split keeps together: the patient, the lesion
#: where no patient is known, or the image itself in a leak audit.
IMAGE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("class_name", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("channels", pa.int32(), nullable=False),
        pa.field("pixels", pa.binary(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)

#: What an ingest keeps beside each image: bytes and XXH3-128 of its file, SHA-256 of its pixels and
#: of the row. So an image that was decoded once is not decoded again, and duplicates are noticed.
#: SHA-256 of whole files would take a quarter of an ingest. ``remarks`` holds those of
#: `data.images.Decoded`, ``bits`` the bits that the largest value of a 16-bit image needs.
SOURCE_FIELDS = (
    pa.field("source_bytes", pa.int64()),
    pa.field("source_xxh128", pa.binary(16), nullable=False),
    pa.field("pixels_sha256", pa.binary(32), nullable=False),
    pa.field("row_sha256", pa.binary(32), nullable=False),
    pa.field("remarks", pa.list_(pa.string()), nullable=False),
    pa.field("bits", pa.int8()),
)
INGEST_SCHEMA = pa.schema([*IMAGE_SCHEMA, *SOURCE_FIELDS])

#: What a layout reads from names and tables, before any pixel is decoded. ``fold`` names the
#: part that the publisher of the data put an image in (``fold_0``, ``preliminary``), or is empty.
INDEX_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("class_name", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("fold", pa.string(), nullable=False),
    ]
)

#: Kinds of rejects. ``unreadable`` is a file that no decoder takes, or a damaged one; ``format`` an
#: image of a format that is not read, by its name; ``unused`` a file or a row of a table that the
#: layout cannot use; ``set aside`` an image that is no one's mistake: of another class, beyond
#: ``train_images``, a mask, a test set without labels; ``no image`` a table, a text and the like;
#: ``hidden`` a file or folder of the system; ``notice`` this project's own mark of synthetic
#: images or a table that the layout has read, which are counted nowhere.
UNREADABLE = "unreadable"
FORMAT = "format"
UNUSED = "unused"
SET_ASIDE = "set aside"
NO_IMAGE = "no image"
HIDDEN = "hidden"
NOTICE = "notice"

#: Files and rows that were found and not taken, each with the reason and the kind of reason.
REJECT_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
