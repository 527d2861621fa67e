"""The `/v1` routes and the health checks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bot.question import known_language, read_question
from retrieval import RetrievalError
from web.conversations import ConversationStore
from web.metrics import Metrics
from web.question_log import QuestionLog
from web.schemas import AskRequest, FeedbackRequest, answer_json, article_json, contact_json
from web.service import Service

if TYPE_CHECKING:
    from web.messaging.service import ChannelService

logger = logging.getLogger(__name__)
router = APIRouter()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@router.post("/v1/ask")
async def ask(body: AskRequest, request: Request) -> Response:
    """Answers one question with quoted sentences and their citations."""
    service = _service(request)
    conversations: ConversationStore = request.app.state.conversations
    metrics: Metrics = request.app.state.metrics
    conversation = conversations.get(body.conversation_id)
    question = read_question(
        body.question,
        language=body.lang,
        hint=conversation.language or _browser_language(request),
        nationality=body.nationality,
        country=body.country,
        max_chars=service.settings.max_question_chars,
    )
    with metrics.timed("ask"):
        # Encoding is work for the processor; on the event loop it would hold up everybody else.
        answer, conversation = await run_in_threadpool(service.answerer.answer, question, conversation)
    conversations.put(conversation)
    metrics.count("answers", status=answer.status, language=answer.language)
    logger.info("answer %s %s %s", answer.answer_id, answer.status, answer.language)
    log: QuestionLog = request.app.state.question_log
    if log.is_on:
        await run_in_threadpool(
            log.write, "question", text=question.text, answer_id=answer.answer_id, status=answer.status
        )
    body_json = answer_json(answer, conversation.conversation_id, service.settings.contact_max_age_days)
    return JSONResponse(body_json, headers={"Cache-Control": "no-store"})


@router.get("/v1/articles/{article_id}")
async def article(article_id: str, request: Request) -> Response:
    """One article as JSON."""
    view = await run_in_threadpool(_service(request).view)
    found = view.searcher.index.articles.get(article_id)
    if found is None or article_id in view.withdrawn:
        raise HTTPException(404, "there is no such article")
    return JSONResponse(article_json(found))


@router.get("/v1/contacts")
async def contacts(
    request: Request,
    nationality: str | None = None,
    country: str | None = None,
    situation: str | None = None,
    lang: str | None = None,
) -> Response:
    """The contact cards that apply, the most useful first."""
    service = _service(request)
    language = known_language(lang) or _browser_language(request) or "zh-Hans"
    found = service.contacts.select(
        nationality=nationality.upper() if nationality else None,
        country=country.upper() if country else None,
        situation=situation,
    )
    shown = [contact_json(contact, language, service.settings.contact_max_age_days) for contact in found]
    return JSONResponse({"language": language, "contacts": shown})


@router.post("/v1/feedback", status_code=202)
async def feedback(body: FeedbackRequest, request: Request) -> Response:
    """Counts whether an answer helped; a comment is kept only where the operator keeps a redacted log."""
    metrics: Metrics = request.app.state.metrics
    metrics.count("feedback", helpful=str(body.helpful).lower())
    log: QuestionLog = request.app.state.question_log
    if body.comment and log.is_on:
        await run_in_threadpool(
            log.write, "feedback", text=body.comment, answer_id=body.answer_id, helpful=body.helpful
        )
    return JSONResponse({"status": "accepted"}, 202)


@router.get("/healthz")
async def healthz() -> Response:
    """The process runs."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Index and model are loaded and can serve."""
    try:
        view = await run_in_threadpool(_service(request).view)
    except RetrievalError as error:
        return JSONResponse({"status": "unready", "detail": str(error)}, 503)
    counts = view.searcher.index.manifest["counts"]
    return JSONResponse({"status": "ready", "articles": counts["articles"], "passages": counts["passages"]})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Counts and durations in the text format of Prometheus."""
    found: Metrics = request.app.state.metrics
    channels: ChannelService | None = getattr(request.app.state, "channels", None)
    text = found.render() + ("" if channels is None else channels.watch.metrics())
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def _browser_language(request: Request) -> str | None:
    for part in request.headers.get("accept-language", "")[:200].split(","):
        language = known_language(part.split(";")[0].strip())
        if language:
            return language
    return None
