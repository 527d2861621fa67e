"""The route that checks job offers."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from bot.errors import PictureError
from bot.question import known_language
from bot.types import OfferReport
from web.errors import PayloadError
from web.metrics import Metrics
from web.schemas import OfferRequest, offer_json
from web.service import Service

MAX_OFFER_CHARS = 20_000
router = APIRouter()


@router.post("/v1/check-offer")
async def check_offer(request: Request) -> Response:
    """Red flags in the text of an offer (JSON) or in a picture of one (multipart, field `image`)."""
    service: Service = request.app.state.service
    metrics: Metrics = request.app.state.metrics
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    with metrics.timed("check_offer"):
        if kind == "multipart/form-data":
            report = await _from_picture(request, service)
        else:
            body = _body(await request.body())
            if len(body.text) > MAX_OFFER_CHARS:
                raise HTTPException(422, f"'text': longer than {MAX_OFFER_CHARS} characters; shorten it")
            report = await run_in_threadpool(service.offers.check, body.text, language=known_language(body.lang))
    metrics.count("offers", verdict=report.verdict)
    return JSONResponse(
        offer_json(report, service.settings.contact_max_age_days), headers={"Cache-Control": "no-store"}
    )


async def _from_picture(request: Request, service: Service) -> OfferReport:
    # Held in memory only: max_part_size stays above the limit of the body, so nothing is spooled to disk.
    async with request.form(max_files=1, max_fields=4) as form:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise HTTPException(422, "'image': a PNG, JPEG or WebP picture is missing")
        data = await image.read()
        language = known_language(str(form.get("lang") or ""))
    try:
        return await run_in_threadpool(service.check_picture, data, language=language)
    except PictureError as error:
        raise HTTPException(422, f"'image': {error}") from None


def _body(data: bytes) -> OfferRequest:
    try:
        return OfferRequest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise HTTPException(422, f"'{where}': {first['msg']}") from None
    except ValueError:
        raise PayloadError("the body is no JSON") from None
