"""Files of a form (``multipart/form-data``, RFC 7578)."""

from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value

from deploy.aws.lambda_.function.problem import ProblemError

#: Largest number of fields without a file.
_MAX_FIELDS = 16


def read_form(
    content_type: str, body: bytes, fields: Sequence[str], limit: int
) -> list[tuple[str, bytes]]:
    """Return the names and contents of the files in a form.

    Parameters
    ----------
    content_type
        Header ``Content-Type``, with the boundary.
    body
        Body.
    fields
        Names of the fields that may have files.
    limit
        Largest number of files.

    Raises
    ------
    ProblemError
        If the body is not a form (400), a field has another name (400) or there are too many files
        (413).
    """
    files, others = [], 0
    for header, content in _parts(content_type, body):
        name = header.get_param("name", header="content-disposition")
        filename = header.get_param("filename", header="content-disposition")
        if not isinstance(name, str):
            raise _invalid()
        if filename is None:
            others += 1
        elif name in fields:
            files.append((collapse_rfc2231_value(filename), content))
        else:
            raise ProblemError(400, f"name the field of the files '{fields[0]}'")
        if len(files) > limit:
            raise ProblemError(413, f"more than {limit} images in a request")
        if others > _MAX_FIELDS:
            raise _invalid()
    return files


def _parts(content_type: str, body: bytes) -> Iterator[tuple[Message, bytes]]:
    """Yield the headers and the content of each part."""
    whole = Message()
    whole["content-type"] = " ".join(content_type.split())
    boundary = whole.get_boundary()
    if not boundary:
        raise _invalid()
    # Nothing before the first delimiter, and nothing after the closing one, is part of the form.
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    for part in parts:
        if part.startswith(b"--"):
            return
        rest, line_end, remainder = part.partition(b"\r\n")
        head, head_end, content = remainder.partition(b"\r\n\r\n")
        if rest.strip(b" \t") or not line_end or not head_end:
            raise _invalid()
        yield HeaderParser().parsestr(head.decode("utf-8", "replace")), content
    raise _invalid()  # without a closing delimiter, a part of the body is missing


def _invalid() -> ProblemError:
    return ProblemError(400, "the form is not valid")
