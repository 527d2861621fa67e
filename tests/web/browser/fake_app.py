"""A small server with the real pages, widget, contacts and articles, and canned answers.

For states that are hard to reach with a real index, and for pages of hosts that embed the widget. By hand:
`PYTHONPATH=. python tests/web/browser/fake_app.py 8100`.

What the question says decides the answer: `emergency`, `refuse` (declined), `nothing` (not_covered), `slow`,
`hostile` (markup and Unicode tricks in every field), `busy` (429), `down` (503), `broken` (500), `too long`
(422); else it is a cited one.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from bot.contacts import ContactList
from bot.types import Answer, Citation, Conversation, Question, QuotedSentence
from retrieval import Library, RetrievalError
from web import pages
from web.conversations import ConversationStore
from web.schemas import answer_json, contact_json
from web.security import install_security
from web.settings import Settings

ARTICLE = "zh-if-you-are-trapped"
# Script, markup, broken markup, direction overrides, zero width, a wall of combining marks, astral and
# private characters, and a word without end.
HOSTILE = (
    '<script>window.pwned=1</script><img src=x onerror="window.pwned=1"><a href="javascript:window.pwned=1">'
    "x</a></textarea></script><style>*{display:none}</style>{{7*7}}${7*7}&lt;b&gt;"
    "\u202egnp.exe\u202c\u2066\u2067\u200b\u200d\ufeff"
    "Z" + "\u0336\u0315\u031b\u0489" * 40 + "\U0001f469\u200d\U0001f469\u200d\U0001f467\ue000" + "W" * 300
)
# All that a host has to allow: our script, and talking to us. README says the same.
HOST_CSP = (
    "default-src 'none'; script-src {base}; connect-src {base}; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


class FakeService:
    """Stands in for `web.service.Service`: real articles and contacts, no index and no model."""

    def __init__(self, settings: Settings, *, has_index: bool = True) -> None:
        self.settings = settings
        self.library = Library(settings.corpus, settings.data)
        self.contacts = ContactList.load(settings.corpus / "contacts.yaml")
        self.articles = {article.article_id: article for article in self.library.articles()} if has_index else {}
        self.has_index = has_index
        self.answerer = SimpleNamespace(answer=self._answer)
        self.offers = SimpleNamespace(check=self._report)
        self.check_picture = self._report

    def view(self) -> Any:
        """As `Service.view`; the searcher finds nothing, so that lists show titles alone."""
        if not self.has_index:
            raise RetrievalError("no index")
        searcher = SimpleNamespace(index=SimpleNamespace(articles=self.articles), search=lambda text, k: [])
        return SimpleNamespace(searcher=searcher, withdrawn=self.library.withdrawn())

    def _report(self, *_: object, **__: object) -> None:
        raise RetrievalError("the fake checks no offers on the server")

    def _answer(self, question: Question, conversation: Conversation) -> tuple[Answer, Conversation]:
        base = Answer(answer_id="a1", status="answered", language=question.language, situation="general")
        text = question.text
        fields: dict[str, Any] = {}
        if "emergency" in text:
            found = self.contacts.select(nationality="CN", country="MM", situation="trapped", most=4)
            card = ("先顾安全，能发文字就不要打电话。", "写下：谁、在哪里、多少人、有没有受伤。")
            fields = {"status": "emergency", "situation": "trapped", "contacts": tuple(found), "card": card}
        elif "refuse" in text:
            fields = {"status": "declined", "notice": "这类请求不提供帮助。"}
        elif "nothing" in text:
            fields = {"status": "not_covered", "notice": "没有答案。", "suggestions": ("12308怎么拨？",)}
        if fields.get("status") in ("declined", "not_covered"):
            return self._made(base, fields), conversation
        hostile = HOSTILE if "hostile" in text else None
        fields = {**self._quoted(hostile), **fields}
        if hostile:
            fields |= {"notice": hostile, "suggestions": (hostile,), "card": (hostile,)}
        return self._made(base, fields), conversation

    def _quoted(self, hostile: str | None) -> dict[str, Any]:
        article = self.articles[ARTICLE]
        first, second = article.sentences[0], article.sentences[3]
        citations = []
        for n, sentence in enumerate((first, second), start=1):
            citations.append(
                Citation(
                    n=n,
                    article_id=ARTICLE,
                    passage_id=f"{ARTICLE}#{n}",
                    title=hostile or article.title,
                    publisher=hostile or article.publisher,
                    url="javascript:window.pwned=1" if hostile else "https://example.org/",
                    date=article.published,
                    language=article.language,
                    start=sentence.start,
                    end=sentence.end,
                    quote=hostile or article.text[sentence.start : sentence.end],
                    href="javascript:window.pwned=1"
                    if hostile
                    else f"/articles/{ARTICLE}?start={sentence.start}&end={sentence.end}#quote",
                    sources=tuple(article.sources[key] for key in sentence.source_keys),
                    n_reprints=2,
                )
            )
        sentences = tuple(QuotedSentence(c.quote, (c.n,)) for c in citations)
        return {
            "citations": tuple(citations),
            "sentences": sentences,
            "confidence": 0.9,
            "suggestions": ("我可以向谁求助？", "要不要自己逃出去？"),
        }

    @staticmethod
    def _made(base: Answer, fields: dict[str, Any]) -> Answer:
        return replace(base, **fields)


def offer_report(text: str) -> dict[str, Any]:
    """A canned report in the form of the contract."""
    label = HOSTILE if "hostile" in text else "不要经验、工资很高"
    return {
        "verdict": "high_risk",
        "score": 0.97,
        "language": "zh-Hans",
        "text": text,
        "signals": [
            {
                "id": "pay",
                "label": label,
                "start": 0,
                "end": 4,
                "evidence": text[:40],
                "explanation": label,
                "citations": [1],
            }
        ],
        "absent": ["visa", "fee"],
        "citations": [
            {
                "n": 1,
                "article_id": ARTICLE,
                "passage_id": f"{ARTICLE}#1",
                "title": "题目",
                "publisher": "归途 Guitu",
                "url": None,
                "date": "2026-11-23",
                "language": "zh-Hans",
                "start": 0,
                "end": 12,
                "quote": "现在第一步做什么？",
                "href": f"/articles/{ARTICLE}?start=0&end=12#quote",
                "sources": [],
                "n_reprints": 0,
            }
        ],
        "contacts": [],
        "notice": "先不要付钱，也不要交护照。",
    }


def create_fake_app(settings: Settings, *, has_index: bool = True) -> FastAPI:
    """The application."""
    app = FastAPI(openapi_url=None)
    service = FakeService(settings, has_index=has_index)
    app.state.service = service
    app.state.conversations = ConversationStore(600)
    app.state.feedback = []
    app.state.asked = []
    install_security(app, settings)

    @app.post("/v1/ask")
    async def ask(request: Request) -> Response:
        body = await request.json()
        app.state.asked.append(body)
        text = body["question"]
        for word, status in (("busy", 429), ("down", 503), ("broken", 500), ("too long", 422)):
            if word in text:
                return JSONResponse({"detail": "no"}, status, media_type="application/problem+json")
        if "slow" in text:
            await asyncio.sleep(6)
        answer, _ = service._answer(Question(text, body.get("lang") or "zh-Hans"), Conversation("c1"))
        return JSONResponse(answer_json(answer, body.get("conversation_id") or "c1", 365))

    @app.post("/v1/check-offer")
    async def check(request: Request) -> Response:
        if "json" in request.headers["content-type"]:
            return JSONResponse(offer_report((await request.json())["text"]))
        form = await request.form()
        return JSONResponse(offer_report(f"{form['image'].content_type} {len(await form['image'].read())}"))

    @app.get("/v1/contacts")
    async def contacts(nationality: str = "", country: str = "", situation: str = "", lang: str = "en") -> Response:
        found = service.contacts.select(
            nationality=nationality or None, country=country or None, situation=situation or None
        )
        return JSONResponse({"language": lang, "contacts": [contact_json(c, lang, 365) for c in found]})

    @app.post("/v1/feedback")
    async def feedback(request: Request) -> Response:
        app.state.feedback.append(await request.json())
        return JSONResponse({}, 202)

    @app.get("/seen")
    async def seen() -> Response:
        return JSONResponse({"asked": app.state.asked, "feedback": app.state.feedback})

    app.include_router(pages.router)
    return app


def create_host_app(base: str) -> FastAPI:
    """Pages of other people that embed the widget of the server at `base`."""
    app = FastAPI(openapi_url=None)
    tag = f'<script src="{base}/widget.js" defer data-lang="zh-Hans"'
    words = "<p>" + "An ordinary page with its own words. " * 40 + "</p>"

    def html(head: str, body: str, attributes: str = "", headers: dict[str, str] | None = None) -> Response:
        start = f'<!doctype html><html lang="en" {attributes}><head><meta charset="utf-8"><title>Host</title>'
        return HTMLResponse(f"{start}{head}</head><body>{body}</body></html>", headers=headers)

    @app.get("/plain")
    async def plain() -> Response:
        return html("", words)

    @app.get("/simple")
    async def simple() -> Response:
        return html("", words + tag + "></script>")

    @app.get("/hostile")
    async def hostile() -> Response:
        style = (
            "html{font-size:62.5%}*{color:red!important;font-family:monospace;letter-spacing:9px;display:inline}"
            "div,button,guitu-chat{position:static!important;transform:rotate(9deg);opacity:.1!important}"
            "#cover{position:fixed!important;inset:0;z-index:2147483647;background:#eee;opacity:1!important;display:block}"
            "@media all{guitu-chat{display:none!important;visibility:hidden!important;width:0!important}}"
        )
        body = '<div id="cover">war</div>' + words + tag + ' data-color="#ffee00" data-title="求助"></script>'
        return html(f"<style>{style}</style>", body, 'dir="rtl"')

    @app.get("/several")
    async def several() -> Response:
        body = '<div id="one"></div>' + words + tag + ' data-position="left" data-title="A"></script>'
        body += tag + ' data-position="right" data-title="B"></script>' + tag + ' data-position="right"></script>'
        return html("", body + tag + ' data-target="#one"></script>')

    @app.get("/spa")
    async def spa() -> Response:
        return html("", words + tag + "></script>")

    @app.get("/strict")
    async def strict() -> Response:
        policy = HOST_CSP.format(base=base)
        return html("", words + tag + ' data-lang="th"></script>', headers={"Content-Security-Policy": policy})

    @app.get("/frame")
    async def frame() -> Response:
        return html("", f'<iframe title="chat" width="360" height="640" src="{base}/embed?lang=zh-Hans"></iframe>')

    @app.get("/neutral")
    async def neutral() -> Response:
        return PlainTextResponse("weather")

    return app


if __name__ == "__main__":
    # port of ours, then port of the host's pages: two origins, as in life
    ours = int(sys.argv[1])
    if len(sys.argv) > 3:
        app = create_host_app(sys.argv[3])
    else:
        allowed = (sys.argv[2],) if len(sys.argv) > 2 else ("*",)
        app = create_fake_app(Settings(data=Path("var"), cors_origins=allowed))
    uvicorn.run(app, host="127.0.0.1", port=ours, log_level="warning")
