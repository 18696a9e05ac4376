"""Settings of the function, which are a file of its package."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Name of the file, and of the folder with the page, beside this module in the package.
FILE, PAGE = "settings.json", "page"


@dataclass(frozen=True)
class Settings:
    """Settings of the function."""

    endpoint: str
    #: Model card as ``GET /model`` returns it; None: the endpoint is asked for it.
    card: dict[str, Any] | None
    disclaimer: str
    #: Headers of every response.
    headers: dict[str, str]
    #: Content security policy of the page, and that of all other responses.
    page_policy: str
    api_policy: str
    #: Media types of a body that is one image file.
    image_types: list[str]
    #: Names of the form fields with images.
    fields: list[str]
    #: SHA-256 of each API key in hexadecimal; empty accepts all requests.
    key_digests: list[str]
    #: Largest body in bytes, and largest number of images in a request.
    body_bytes: int
    images: int

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        """Return the settings in ``folder``."""
        return cls(**json.loads((folder / FILE).read_text()))

    def to_json(self) -> str:
        """Return the content of the file."""
        return json.dumps(asdict(self), indent=2)
