"""The pages for people: the chat, articles, contacts, about; and what browsers and search engines ask for.

Every page works without JavaScript. What articles say and people type reaches a page only through templates
that escape.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import logging
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jinja2
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse, Response

from bot.contacts import ContactList
from bot.errors import BotError, PictureError, QuestionTooLongError
from bot.question import DEFAULT_LANGUAGE, known_language, read_question
from bot.types import SITUATIONS
from retrieval import LANGUAGES, Article, RetrievalError, Searcher, fold
from web.assets import SHORT, asset_url, assets, find_asset
from web.conversations import ConversationStore
from web.offers import MAX_OFFER_CHARS
from web.offline import offline_bundle
from web.schemas import answer_json, contact_json, offer_json
from web.strings import HOST_COUNTRIES, LANGUAGE_NAMES, LIKELY_NATIONALITY, Words, words

if TYPE_CHECKING:
    from web.service import Service

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

PER_PAGE = 50
FEED_LENGTH = 50
MAX_SEARCH_CHARS = 200
N_CARD_CONTACTS = 2
N_PRINTED_CONTACTS = 40
_HTML = "text/html; charset=utf-8"
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
# Where quick exit leads: pages that anybody might have open and that can be reached in the reader's country.
_NEUTRAL_PAGES = {"zh-Hans": "https://www.baidu.com/"}
_NEUTRAL_PAGE = "https://www.google.com/"


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of an article's text, whether it is quoted, and the numbers of the footnotes after it."""

    text: str
    is_quoted: bool = False
    is_first_quoted: bool = False
    notes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph or a heading of an article."""

    segments: tuple[Segment, ...]
    is_heading: bool = False


# ---- what every page needs ------------------------------------------------------------


class Page:
    """One request for a page: its language, its links, its response."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.service: Service = request.app.state.service
        self.settings = self.service.settings
        self.chosen = known_language(request.query_params.get("lang"))
        self.language = self.chosen or _browser_language(request) or DEFAULT_LANGUAGE
        self.words: Words = words(self.language)
        self.is_neutral = request.query_params.get("n") == "1"

    def to(self, path: str, **params: object) -> str:
        """The address of another page of ours, in the same language and the same disguise."""
        query = {key: value for key, value in params.items() if value not in (None, "")}
        if self.chosen and "lang" not in query:
            query["lang"] = self.chosen
        if self.is_neutral:
            query["n"] = "1"
        path, _, fragment = path.partition("#")
        return path + (f"?{urlencode(query)}" if query else "") + (f"#{fragment}" if fragment else "")

    def here(self, **params: object) -> str:
        """The address of this page with some parameters changed."""
        kept: dict[str, object] = {k: v for k, v in self.request.query_params.items() if k not in ("lang", "n", "page")}
        return self.to(self.request.url.path, **{**kept, **params})

    def absolute(self, path: str) -> str:
        """`path` as an address for use elsewhere."""
        return (self.settings.public_url or str(self.request.base_url).rstrip("/")) + path

    def contacts(self, **choice: Any) -> list[dict[str, Any]]:
        """Contact cards as the templates need them."""
        found = self.service.contacts.select(**choice)
        return [contact_json(contact, self.language, self.settings.contact_max_age_days) for contact in found]

    def emergency_contacts(self) -> list[dict[str, Any]]:
        """The first numbers for the likeliest nationality; none where the language tells nothing."""
        nationality = LIKELY_NATIONALITY.get(self.language)
        found = self.contacts(nationality=nationality, situation="trapped") if nationality else []
        return [c for c in found if c["for"] != "ALL"][:N_CARD_CONTACTS]

    def render(self, template: str, *, status: int = 200, cache: str = "no-store", **context: Any) -> Response:
        """The page. Not kept by browsers by default: what was read here is nobody's business."""
        html = _TEMPLATES.get_template(template).render(
            w=self.words,
            page=self,
            to=self.to,
            here=self.here,
            neutral=self.is_neutral,
            exit_url=_NEUTRAL_PAGES.get(self.language, _NEUTRAL_PAGE),
            country_options=_country_options(self.language),
            **context,
        )
        return self.compressed(html.encode(), _HTML, status=status, cache=cache)

    def compressed(self, body: bytes, media_type: str, *, status: int = 200, cache: str = "no-store") -> Response:
        """`body`, compressed for those who take it: lines are slow where this is read."""
        headers = {"Cache-Control": cache, "Vary": "Accept-Language, Accept-Encoding"}
        if "gzip" in self.request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 6)
        return Response(body, status, headers, media_type)


def _browser_language(request: Request) -> str | None:
    for part in request.headers.get("accept-language", "")[:200].split(","):
        language = known_language(part.split(";")[0].strip())
        if language:
            return language
    return None


@lru_cache(maxsize=len(LANGUAGES))
def _country_options(language: str) -> tuple[tuple[str, str], ...]:
    """Countries to choose from, those where people are held first."""
    names = words(language).countries
    others = sorted((code for code in names if code not in HOST_COUNTRIES), key=lambda code: names[code])
    return tuple((code, names[code]) for code in (*HOST_COUNTRIES, *others))


def _code(value: str | None) -> str | None:
    return value.upper() if value and re.fullmatch(r"[A-Za-z]{2}", value) else None


async def _articles(page: Page) -> tuple[Mapping[str, Article], Searcher | None]:
    """The articles that may be shown, by id; none, and no searcher, while no index can serve."""
    try:
        view = await run_in_threadpool(page.service.view)
    except RetrievalError:
        logger.warning("a page is shown without articles: no index can serve")
        return {}, None
    shown = view.searcher.index.articles
    return {key: a for key, a in shown.items() if key not in view.withdrawn}, view.searcher


def _web_url(url: str | None) -> str | None:
    """`url` where it is a web address: nothing else becomes a link."""
    return url if url and re.match(r"https?://", url, re.I) else None


def _dial(number: str) -> str | None:
    """What a telephone link dials; None where `number` is an address or a name."""
    return re.sub(r"[^+\d]", "", number) if re.fullmatch(r"\+?[\d\s().-]{2,}", number) else None


_TEMPLATES.globals.update(asset_url=asset_url, language_names=LANGUAGE_NAMES, dial=_dial, is_web=_web_url)


# ---- the chat ------------------------------------------------------------


@router.get("/")
async def home(request: Request) -> Response:
    """The chat page, and a form that does the same without JavaScript."""
    page = Page(request)
    return page.render("home.html", **_home_context(page))


@router.post("/")
async def home_form(request: Request) -> Response:
    """The form of the chat page: a question, or an offer to be checked."""
    page = Page(request)
    async with request.form(max_files=1, max_fields=10) as form:
        context = _home_context(page)
        context.update(question=_field(form, "question"), offer=_field(form, "offer"))
        try:
            if _field(form, "action") == "check":
                context["report"] = await _checked(page, form)
            else:
                context.update(await _answered(page, form))
        except QuestionTooLongError:
            context["problem"] = "long"
        except RetrievalError:
            context["problem"] = "unready"
        except PictureError as error:
            context["problem"] = {"busy": "busy", "unavailable": "unready"}.get(error.reason, "not_picture")
        except BotError:
            context["problem"] = "empty"
    status = {"long": 422, "empty": 422, "not_picture": 422, "busy": 503, "unready": 503}.get(
        context["problem"] or "", 200
    )
    return page.render("home.html", status=status, **context)


def _home_context(page: Page) -> dict[str, Any]:
    return {
        "emergency": page.emergency_contacts(),
        "question": "",
        "offer": "",
        "answer": None,
        "report": None,
        "problem": None,
        "conversation_id": "",
        "nationality": "",
        "country": "",
    }


async def _answered(page: Page, form: FormData) -> dict[str, Any]:
    conversations: ConversationStore = page.request.app.state.conversations
    conversation = conversations.get(_field(form, "conversation_id")[:100] or None)
    question = read_question(
        _field(form, "question"),
        language=page.chosen,
        hint=conversation.language or page.language,
        nationality=_field(form, "nationality"),
        country=_field(form, "country"),
        max_chars=page.settings.max_question_chars,
    )
    answer, conversation = await run_in_threadpool(page.service.answerer.answer, question, conversation)
    conversations.put(conversation)
    return {
        "answer": answer_json(answer, conversation.conversation_id, page.settings.contact_max_age_days),
        "conversation_id": conversation.conversation_id,
        "nationality": conversation.nationality or "",
        "country": conversation.country or "",
    }


async def _checked(page: Page, form: FormData) -> dict[str, Any]:
    image = form.get("image")
    if isinstance(image, UploadFile) and image.filename:
        report = await run_in_threadpool(
            page.service.check_picture, await image.read(), language=page.chosen or page.language
        )
    else:
        text = _field(form, "offer").strip()
        if len(text) > MAX_OFFER_CHARS:
            raise QuestionTooLongError(MAX_OFFER_CHARS)
        if not text:
            raise BotError("nothing was pasted")
        report = await run_in_threadpool(page.service.offers.check, text, language=page.chosen)
    found: dict[str, Any] = offer_json(report, page.settings.contact_max_age_days)
    return found


def _field(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


@router.get("/embed")
async def embed(request: Request) -> Response:
    """The chat alone, for hosts that prefer a frame; who may frame it is said in the settings."""
    return Page(request).render("embed.html")


# ---- articles ------------------------------------------------------------


@router.get("/articles")
async def article_list(request: Request) -> Response:
    """Articles by topic and language, with search."""
    page = Page(request)
    params = request.query_params
    articles, searcher = await _articles(page)
    topic, text = params.get("topic", "")[:60], params.get("q", "").strip()[:MAX_SEARCH_CHARS]
    languages = sorted({a.language for a in articles.values()}, key=_language_order)
    # Without a choice readers see their own language where there is anything in it.
    wanted = params.get("in", page.language if page.language in languages else "")
    found = [a for a in articles.values() if (not wanted or a.language == wanted) and (not topic or topic in a.topics)]
    if text:
        found = await run_in_threadpool(_searched, searcher, found, text)
    else:
        found.sort(key=lambda a: (a.published, a.article_id), reverse=True)
    number = max(1, int(params["page"])) if params.get("page", "").isdigit() and len(params["page"]) < 6 else 1
    return page.render(
        "articles.html",
        articles=found[(number - 1) * PER_PAGE : number * PER_PAGE],
        n_found=len(found),
        number=number,
        has_next=len(found) > number * PER_PAGE,
        topics=sorted({t for a in articles.values() for t in a.topics}, key=page.words.topic),
        topic=topic,
        languages=languages,
        wanted=wanted,
        text=text,
        is_ready=searcher is not None,
        emergency=page.emergency_contacts() if searcher is None else [],
    )


def _language_order(language: str) -> tuple[int, str]:
    return (LANGUAGES.index(language) if language in LANGUAGES else len(LANGUAGES), language)


def _searched(searcher: Searcher | None, articles: list[Article], text: str) -> list[Article]:
    """Articles whose title holds `text`, then those the search finds, best first."""
    allowed = {article.article_id: article for article in articles}
    folded = fold(text)
    in_title = [article.article_id for article in articles if folded in fold(article.title)]
    hits = searcher.search(text, k=100) if searcher else []
    order = dict.fromkeys([*sorted(in_title), *(hit.passage.article_id for hit in hits)])
    return [allowed[key] for key in order if key in allowed]


@router.get("/articles/{article_id}")
async def article_page(article_id: str, request: Request) -> Response:
    """One article, with the span from `start` to `end` marked; what was withdrawn is gone at once."""
    page = Page(request)
    if article_id in await run_in_threadpool(page.service.library.withdrawn):
        return page.render("message.html", status=410, message="withdrawn", emergency=[])
    articles, searcher = await _articles(page)
    article = articles.get(article_id)
    if article is None:
        status, message = (404, "not_found") if searcher else (503, "no_index")
        return page.render("message.html", status=status, message=message, emergency=page.emergency_contacts())
    span = _span(request, article)
    blocks, notes = article_blocks(article, *span)
    return page.render(
        "article.html",
        article=article,
        blocks=blocks,
        notes=notes,
        is_quoted=span[1] > span[0],
        translations=_translations(article, articles),
        newer=articles.get(getattr(article, "superseded_by", None) or ""),
        linked_data=_linked_data(page, article),
        url=_web_url(article.url),
    )


def _span(request: Request, article: Article) -> tuple[int, int]:
    """The marked range, within the text; empty where none is asked for."""
    numbers = [request.query_params.get(name, "") for name in ("start", "end")]
    if not all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers):
        return 0, 0
    start, end = (min(int(number), len(article.text)) for number in numbers)
    return (start, end) if start < end else (0, 0)


def article_blocks(article: Article, start: int = 0, end: int = 0) -> tuple[list[Block], list[Any]]:
    """The text of `article` as paragraphs and headings, and its footnotes: sources in order of first use.

    Args:
        start, end: the quoted range in code points; empty for none.
    Returns:
        Blocks whose segments, put together, are every line of the text; no character is added or lost.
    """
    numbers: dict[str, int] = {}
    notes_at: dict[int, tuple[int, ...]] = {}
    for sentence in article.sentences:
        keys = [key for key in sentence.source_keys if key in article.sources]
        if keys:
            ends_at = sentence.start + len(article.text[sentence.start : sentence.end].rstrip())
            notes_at[ends_at] = tuple(numbers.setdefault(key, len(numbers) + 1) for key in keys)
    heading_starts = {heading.start for heading in article.headings}
    cuts = sorted({start, end, *notes_at})
    blocks: list[Block] = []
    is_first = True
    at = 0
    for line in article.text.split("\n"):
        line_end = at + len(line)
        inner = [cut for cut in cuts if at < cut < line_end] if line else []
        segments = []
        for left, right in zip([at, *inner], [*inner, line_end], strict=True):
            is_quoted = start < end and left < end and right > start
            notes = notes_at.get(right, ())
            segments.append(Segment(article.text[left:right], is_quoted, is_quoted and is_first, notes))
            is_first = is_first and not is_quoted
        if line:
            blocks.append(Block(tuple(segments), is_heading=at in heading_starts))
        at = line_end + 1
    sources = [
        {"n": n, "source": article.sources[key], "url": _web_url(article.sources[key].url)}
        for key, n in numbers.items()
    ]
    return blocks, sources


def _translations(article: Article, articles: Mapping[str, Article]) -> list[Article]:
    root = article.translation_of or article.article_id
    family = [
        a for a in articles.values() if root in (a.article_id, a.translation_of) and a.article_id != article.article_id
    ]
    return sorted(family, key=lambda a: _language_order(a.language))


def _linked_data(page: Page, article: Article) -> dict[str, Any]:
    """schema.org Article, for search engines."""
    return {
        "@context": "https://schema.org",
        "@type": "Article",
        "headline": article.title,
        "inLanguage": article.language,
        "dateModified": article.published,
        "datePublished": article.published,
        "publisher": {"@type": "Organization", "name": article.publisher},
        "author": {"@type": "Organization", "name": article.publisher},
        "mainEntityOfPage": page.absolute(f"/articles/{article.article_id}"),
        "isBasedOn": _web_url(article.url) or [u for u in (_web_url(s.url) for s in article.sources.values()) if u],
    }


# ---- contacts and about ------------------------------------------------------------


@router.get("/contacts")
async def contacts(request: Request) -> Response:
    """The numbers for a nationality and a place, printable on one sheet."""
    page = Page(request)
    params = request.query_params
    is_chosen = "nationality" in params or "country" in params
    nationality = _code(params.get("nationality")) if is_chosen else LIKELY_NATIONALITY.get(page.language)
    country = _code(params.get("country"))
    situation = params.get("situation") if params.get("situation") in SITUATIONS else None
    found = page.contacts(nationality=nationality, country=country, situation=situation)
    own = [c for c in found if c["for"] != "ALL"]
    local = [c for c in found if c["for"] == "ALL" and c["country"] == country]
    others = [c for c in found if c["for"] == "ALL" and c["country"] != country]
    if nationality and not country:
        # Without a place the lines of every other country would fill sheets.
        others = [c for c in others if c["country"] == nationality]
    groups = [(page.words.country(nationality) if nationality else "", own)]
    groups.append((page.words.country(country) if country else "", local))
    by_country: dict[str, list[dict[str, Any]]] = {}
    for contact in others:
        by_country.setdefault(contact["country"], []).append(contact)
    groups += [(page.words.country(code), members) for code, members in by_country.items()]
    return page.render(
        "contacts.html",
        groups=[(name, members[:N_PRINTED_CONTACTS]) for name, members in groups if members],
        nationality=nationality or "",
        country=country or "",
        today=dt.date.today().isoformat(),
    )


@router.get("/about")
async def about(request: Request) -> Response:
    """What this is, where answers come from, and what is kept: nothing."""
    return Page(request).render("about.html")


# ---- for programs ------------------------------------------------------------


@router.get("/robots.txt")
async def robots(request: Request) -> Response:
    """What search engines may read: everything but the interface."""
    page = Page(request)
    lines = ["User-agent: *", "Disallow: /v1/", "Disallow: /hooks/", "Disallow: /embed", "Allow: /"]
    return Response("\n".join([*lines, f"Sitemap: {page.absolute('/sitemap.xml')}", ""]), media_type="text/plain")


@router.get("/sitemap.xml")
async def sitemap(request: Request) -> Response:
    """Every page, with the date of each article."""
    page = Page(request)
    articles, _ = await _articles(page)
    root = ET.Element("urlset", xmlns="http://www.sitemaps.org/schemas/sitemap/0.9")
    for path in ("/", "/articles", "/contacts", "/about"):
        ET.SubElement(ET.SubElement(root, "url"), "loc").text = page.absolute(path)
    for article in articles.values():
        url = ET.SubElement(root, "url")
        ET.SubElement(url, "loc").text = page.absolute(f"/articles/{article.article_id}")
        ET.SubElement(url, "lastmod").text = article.published
    return page.compressed(_xml(root), "application/xml", cache=SHORT)


@router.get("/feed.xml")
async def feed(request: Request) -> Response:
    """The newest articles as an Atom feed (RFC 4287)."""
    page = Page(request)
    articles, _ = await _articles(page)
    newest = sorted(articles.values(), key=lambda a: (a.published, a.article_id), reverse=True)
    if page.chosen:
        newest = [article for article in newest if article.language == page.chosen]
    newest = newest[:FEED_LENGTH]
    root = ET.Element("feed", xmlns="http://www.w3.org/2005/Atom")
    _atom(root, "归途 Guitu", page.absolute("/feed.xml"), newest[0].published if newest else "1970-01-01")
    ET.SubElement(root, "link", rel="self", href=page.absolute("/feed.xml"))
    for article in newest:
        entry = ET.SubElement(root, "entry")
        address = page.absolute(f"/articles/{article.article_id}")
        _atom(entry, _printable(article.title), address, article.published)
        ET.SubElement(entry, "link", href=address, hreflang=article.language)
        ET.SubElement(ET.SubElement(entry, "author"), "name").text = _printable(article.publisher)
        ET.SubElement(entry, "summary").text = _printable(article.text[:280])
    return page.compressed(_xml(root), "application/atom+xml", cache=SHORT)


def _atom(element: ET.Element, title: str, address: str, date: str) -> None:
    ET.SubElement(element, "title").text = title
    ET.SubElement(element, "id").text = address
    ET.SubElement(element, "updated").text = f"{date}T00:00:00Z"


def _printable(text: str) -> str:
    """`text` without the control characters that XML 1.0 does not allow."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", text)


def _xml(root: ET.Element) -> bytes:
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


@router.get("/offline.json")
async def offline(request: Request) -> Response:
    """What the widget and the service worker keep for use without a network."""
    page = Page(request)
    articles, _ = await _articles(page)
    bundle = await run_in_threadpool(_bundle_json, tuple(articles.values()), page)
    return page.compressed(bundle, "application/json", cache="public, max-age=3600, stale-if-error=2592000")


def _bundle_json(articles: Iterable[Article], page: Page) -> bytes:
    contacts: ContactList = page.service.contacts
    bundle = offline_bundle(
        articles,
        contacts,
        page.language,
        max_age_days=page.settings.contact_max_age_days,
        today=dt.date.today(),
    )
    return json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode()


@router.get("/widget.js")
async def widget(request: Request) -> Response:
    """The embeddable widget, one file."""
    return assets()["widget.js"].response(request, SHORT)


@router.get("/sw.js")
async def service_worker(request: Request) -> Response:
    """The service worker of our own pages; browsers ask for it anew each time."""
    return assets()["sw.js"].response(request, "no-cache")


@router.get("/manifest.webmanifest")
async def manifest(request: Request) -> Response:
    """For those who put the page on their home screen: under a name that tells nothing."""
    return assets()["manifest.webmanifest"].response(request, SHORT)


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """Old browsers ask here."""
    return RedirectResponse(asset_url("icons/guitu.svg"), 301)


@router.get("/static/{path:path}")
async def static(path: str, request: Request) -> Response:
    """Style, scripts, words and icons."""
    found = find_asset(path)
    if found is None:
        return Page(request).render("message.html", status=404, message="not_found", emergency=[])
    asset, cache_control = found
    return asset.response(request, cache_control)
