"""Files of the page, read once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

#: Suffix -> media type. The table of the ``mimetypes`` module differs between systems.
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
_EXAMPLES = "static/examples/"


@dataclass(frozen=True)
class File:
    """A file of the page."""

    content: bytes
    media_type: str

    @property
    def tag(self) -> str:
        """Value of the header ``ETag``."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


class Pages:
    """The page and its files.

    Parameters
    ----------
    folder
        Folder with ``index.html`` and ``static``.
    """

    def __init__(self, folder: Path) -> None:
        # Requests select from this list: no path of a client reaches the file system.
        self._files = {
            path.relative_to(folder).as_posix(): File(path.read_bytes(), _MEDIA_TYPES[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in _MEDIA_TYPES
        }

    def find(self, path: str) -> File | None:
        """Return the file for the path of a request, or None."""
        if path == "/":
            return self._files["index.html"]
        return self._files.get(path[1:]) if path.startswith("/static/") else None

    def examples(self) -> list[dict[str, str]]:
        """Return name and address of each example image."""
        found = (name for name in self._files if name.startswith(_EXAMPLES))
        return [{"name": name.removeprefix(_EXAMPLES), "url": name} for name in found]
