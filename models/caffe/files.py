"""Reading of Caffe's text files, and the places of files that they name."""

from pathlib import Path
from typing import Any

from models.caffe.schema import messages
from models.errors import ModelError


def parsed(path: Path, message: str, what: str, *, unknown: bool) -> Any:
    """Return the message in a file in protobuf's text format.

    Parameters
    ----------
    path
        The file.
    message
        Name of the message in `models.caffe.schema`.
    what
        Name of the content for errors, such as ``network``.
    unknown
        True to skip fields that the schema lacks; otherwise they are errors.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    from google.protobuf import text_format

    content = messages()[message]()
    try:
        text_format.Parse(path.read_text("utf-8"), content, allow_unknown_field=unknown)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        reason = getattr(error, "strerror", None) or str(error).replace("sparkdl_bench.caffe.", "")
        raise ModelError(f"{path} cannot be read as a Caffe {what}: {reason}") from error
    return content


def located(name: str, folder: Path) -> Path:
    """Return the path of a file that another file of Caffe names.

    Paths are relative to the working folder, as in Caffe. If there is no such file, it is searched
    for below ``folder``, that of the other file, and then in it, whatever folders the name has.
    """
    path = Path(name)
    if path.is_absolute() or path.exists():
        return path
    below, inside = folder / path, folder / path.name
    return inside if inside.exists() and not below.exists() else below
