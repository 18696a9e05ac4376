"""The web page, its files, the example images and the documentation of the interface."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)

from data.formats import is_image
from serving.service.responses import PAGE_POLICY

_PAGE = Path(__file__).resolve().parents[2] / "page"
_HEADERS = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
#: Swagger UI writes styles into its elements and has images in its style sheet.
_DOCS_POLICY = PAGE_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
_DOCS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Interface of the prediction service</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_DOCS_START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true});
"""


def add_pages(app: FastAPI) -> None:
    """Add the pages to ``app``."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> Response:
        index = _PAGE / "index.html"
        if not index.is_file():
            return PlainTextResponse("The interface is described under /docs.\n")
        return FileResponse(index, headers=_HEADERS)

    @routes.get("/examples")
    async def examples() -> JSONResponse:
        folder = _PAGE / "static" / "examples"
        found = sorted(path.name for path in folder.glob("*") if is_image(path.name))
        return JSONResponse([{"name": name, "url": f"static/examples/{name}"} for name in found])

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(_DOCS, headers={"Content-Security-Policy": _DOCS_POLICY})

    @routes.get("/docs/start.js")
    async def start() -> Response:
        return Response(_DOCS_START, media_type="text/javascript")

    @routes.get("/docs/{name}")
    async def docs_file(name: str) -> Response:
        # FastAPI's own page would load these files from another host.
        if name not in ("swagger-ui.css", "swagger-ui-bundle.js"):
            return PlainTextResponse("not found\n", 404)
        return FileResponse(str(files("fastapi_offline") / "static" / name))

    app.include_router(routes)
    if (_PAGE / "static").is_dir():
        app.mount("/static", StaticFiles(directory=_PAGE / "static"), name="static")
