"""Errors as RFC 9457 `application/problem+json`, without a trace and without what a person typed."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from bot.errors import QuestionError
from retrieval import RetrievalError
from web.errors import RateLimitedError, WebError

logger = logging.getLogger(__name__)


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None) -> Response:
    """One error, as a response."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json", headers=headers)


def install_problems(app: FastAPI) -> None:
    """Makes every error of `app` a problem document."""

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        detail = (
            "there is no such page" if error.status_code == 404 and error.detail == "Not Found" else str(error.detail)
        )
        return problem(error.status_code, detail, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        return problem(422, f"'{where}': {first['msg']}")

    @app.exception_handler(QuestionError)
    async def question(request: Request, error: QuestionError) -> Response:
        return problem(422, f"'question': {error}")

    @app.exception_handler(WebError)
    async def ours(request: Request, error: WebError) -> Response:
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, RateLimitedError) else None
        return problem(error.status, str(error), headers=headers)

    @app.exception_handler(RetrievalError)
    async def unready(request: Request, error: RetrievalError) -> Response:
        logger.error("cannot serve: %s", error)
        return problem(503, "the index is not ready; try again in a minute", headers={"Retry-After": "30"})

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        logger.error("unhandled %s at %s", type(error).__name__, request.url.path, exc_info=error)
        return problem(500, "something went wrong on our side")
