"""The ZIP archive of the function: its code, the page and its settings."""

import hashlib
import io
import zipfile
from pathlib import Path

from data.project import ROOT
from deploy.aws.lambda_.function.settings import FILE, PAGE, Settings
from models.card import DISCLAIMER, ModelCard
from serving.service.settings import Source

_FOLDER = Path(__file__).parent / "function"
_PAGE = ROOT / "serving" / "page"
#: Name of the entry point for Lambda.
HANDLER = "deploy.aws.lambda_.function.handler.handle"
#: Lambda accepts 6 MB for a request, in which a body is base64 and thus a third larger.
_BODY_BYTES = 4_500_000
_IMAGES = 64
#: Files of a ZIP archive have a date; a constant one makes identical content identical bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o644 << 16


def settings(
    endpoint: str, card: ModelCard | None, source: Source, keys: tuple[bytes, ...]
) -> Settings:
    """Return the settings of the function.

    Parameters
    ----------
    endpoint
        Name of the endpoint.
    card
        Card of its model; None: the function asks the endpoint for it.
    source
        Registered name and version of the model.
    keys
        API keys, of which the archive has the SHA-256 alone.
    """
    from serving.service.formats import IMAGES
    from serving.service.responses import API_POLICY, PAGE_POLICY, SECURITY_HEADERS
    from serving.service.routes.prediction import FIELDS

    document = None
    if card is not None:
        document = {
            **card.model_dump(mode="json"),
            "name": source.name or card.name,
            "version": source.version,
            "engine": "endpoint",
            "explains": False,
            "disclaimer": DISCLAIMER,
        }
    return Settings(
        endpoint=endpoint,
        card=document,
        disclaimer=DISCLAIMER,
        headers={name.decode(): value.decode() for name, value in SECURITY_HEADERS},
        page_policy=PAGE_POLICY,
        api_policy=API_POLICY.decode(),
        image_types=list(IMAGES),
        fields=list(FIELDS),
        key_digests=[hashlib.sha256(key).hexdigest() for key in keys],
        body_bytes=_BODY_BYTES,
        images=_IMAGES,
    )


def pack(content: Settings) -> bytes:
    """Return the archive; the same settings and files result in the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        packages = [folder / "__init__.py" for folder in _FOLDER.parents if ROOT in folder.parents]
        for source in sorted([*packages, *_FOLDER.glob("*.py")]):
            _add(archive, source.relative_to(ROOT).as_posix(), source.read_bytes())
        within = _FOLDER.relative_to(ROOT).as_posix()
        for source in sorted(path for path in _PAGE.rglob("*") if path.is_file()):
            name = source.relative_to(_PAGE).as_posix()
            _add(archive, f"{within}/{PAGE}/{name}", source.read_bytes())
        _add(archive, f"{within}/{FILE}", content.to_json().encode())
    return target.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _READABLE
    archive.writestr(entry, content)
