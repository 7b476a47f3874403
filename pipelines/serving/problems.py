"""Errors over HTTP as RFC 9457 problems, which say what to change."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipelines.config import UserError
from pipelines.feature.decode import TooManyRows, UnsupportedFormat
from pipelines.serving.model import Rejected
from pipelines.serving.service import NoRelease
from pipelines.storage.ports import Unavailable

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger(__name__)

LATER = {"Retry-After": "1"}

_KINDS: Mapping[type[Exception], tuple[int, str]] = {
    NoRelease: (503, "No release"),
    UnsupportedFormat: (415, "Unsupported content type"),
    TooManyRows: (413, "Too many rows"),
    Rejected: (422, "No answer"),
    UserError: (400, "Not a valid request"),
    Unavailable: (503, "A store does not answer"),
}


class HTTPProblem(Exception):
    """An error with its status, a short title, what to change, and headers."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.headers = status, title, detail, headers


def problem(error: Exception) -> HTTPProblem:
    """Return an exception as the problem that the client gets."""
    if isinstance(error, HTTPProblem):
        return error
    if isinstance(error, HTTPException):
        return _of_route(error)
    for kind, (status, title) in _KINDS.items():
        if isinstance(error, kind):
            return HTTPProblem(status, title, str(error), LATER if status == 503 else None)
    log.error("request failed", exc_info=error)
    return HTTPProblem(500, "The app failed", "This is a fault of the app, not of the request; its log has more.")


def response(told: HTTPProblem) -> Response:
    """Return a problem as a response."""
    content = {"type": "about:blank", "title": told.title, "status": told.status, "detail": told.detail}
    return Response(msgspec.json.encode(content), status_code=told.status, media_type=MEDIA_TYPE, headers=told.headers)


def _of_route(error: HTTPException) -> HTTPProblem:
    detail = error.detail
    if error.status_code == 404:
        detail = "There are /ping, /live, /ready, /invocations, /openapi.json and /metrics."
    if error.status_code == 405 and error.headers:
        methods = ", ".join(sorted(error.headers["Allow"].split(", ")))  # they come from a set
        detail = f"This path takes {methods}."
    return HTTPProblem(error.status_code, HTTPStatus(error.status_code).phrase, detail, error.headers)
