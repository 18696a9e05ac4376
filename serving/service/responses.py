"""Responses and headers that all routes share."""

from typing import Any

from starlette.responses import JSONResponse

from serving.service.errors import RequestError

#: Headers of every response. Pages of other sites can neither read nor embed anything.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
#: Policy of everything but pages: nothing may be loaded or executed.
API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
#: Policy of the pages: scripts, styles and requests of this service only, images also from files
#: that the user has chosen.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def error_response(error: RequestError, request_id: str) -> JSONResponse:
    """Return the response to a request that ends with an error.

    The key ``message`` is where boto3 looks for the reason.
    """
    return JSONResponse(
        {"error": error.reason, "message": error.reason, "request_id": request_id},
        error.status,
        error.headers,
    )


def request_id_of(scope: Any) -> str:
    """Return the id of a request, which `serving.service.middleware.Gateway` has set."""
    return str(scope.get("request_id", ""))
