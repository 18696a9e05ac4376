"""Column names and types of all tables that the package ``data`` writes."""

import pyarrow as pa

SPLITS = ("train", "validation", "test")

#: One row for each image of a prepared data set. ``pixels`` contains height x width x channels
#: unsigned bytes in row-major order. ``group`` is the unit that the split keeps together: the
#: patient, the lesion if no patient is known, or the image itself in a leak audit.
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

#: Additional columns of an ingest: size in bytes and XXH3-128 of the file, SHA-256 of the pixels
#: and of the row. They serve to reuse decoded images and to detect duplicates. SHA-256 of whole
#: files would take a quarter of the time of an ingest. ``remarks`` contains those of
#: `data.images.Decoded`, ``bits`` the number of bits that the largest value of a 16-bit image
#: needs.
SOURCE_FIELDS = (
    pa.field("source_bytes", pa.int64()),
    pa.field("source_xxh128", pa.binary(16), nullable=False),
    pa.field("pixels_sha256", pa.binary(32), nullable=False),
    pa.field("row_sha256", pa.binary(32), nullable=False),
    pa.field("remarks", pa.list_(pa.string()), nullable=False),
    pa.field("bits", pa.int8()),
)
INGEST_SCHEMA = pa.schema([*IMAGE_SCHEMA, *SOURCE_FIELDS])

#: Index that a layout reads from names and tables, before any pixel is decoded. ``fold`` is the
#: publisher's part that contains the image (``fold_0``, ``preliminary``), or empty.
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

#: Kinds of rejects. ``unreadable`` is a damaged file or one that no decoder accepts; ``format`` an
#: image of an unsupported format, according to its name; ``unused`` a file or a row of a table that
#: the layout cannot use; ``set aside`` a valid image that is excluded on purpose: of another class,
#: beyond ``train_images``, a mask, a test set without labels; ``no image`` another file, such as a
#: table or a text; ``hidden`` a hidden or system file or folder; ``notice`` this project's mark of
#: synthetic images or a table that the layout has read, neither of which is counted.
UNREADABLE = "unreadable"
FORMAT = "format"
UNUSED = "unused"
SET_ASIDE = "set aside"
NO_IMAGE = "no image"
HIDDEN = "hidden"
NOTICE = "notice"

#: Files and rows that were found but left out, each with the reason and its kind.
REJECT_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
    ]
)
