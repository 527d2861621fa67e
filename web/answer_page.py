"""The whole answer on a page of its own, for what does not fit into a message. The address cannot be guessed.

The page is made from the answer at the time of answering, so that it shows what the message was cut from.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sqlalchemy import Connection, select

from bot.types import Answer, Citation, OfferReport
from web.channels.phrases import phrase
from web.database import Database, insert_into, pages
from web.render import contact_line

_RIGHT_TO_LEFT = ("ur", "ar", "fa")


def write_page(answer: Answer, public_url: str) -> str:
    """The page as HTML. Everything in it is escaped; it loads nothing, and links to our own articles only."""
    lines = [f"<li>{escape(contact_line(contact, answer.language))}</li>" for contact in answer.contacts]
    contacts = f"<ul>{''.join(lines)}</ul>" if lines else ""
    card = "".join(f"<p>{escape(line)}</p>" for line in answer.card)
    notice = f"<p>{escape(answer.notice)}</p>" if answer.notice else ""
    signs = "" if answer.offer is None else _signs(answer.offer, public_url)
    sentences = "".join(f"<p>{escape(sentence.text)} {_marks(sentence.citations)}</p>" for sentence in answer.sentences)
    direction = "rtl" if answer.language in _RIGHT_TO_LEFT else "ltr"
    # A title that says nothing: it shows in the list of open windows.
    title = escape(phrase("full", answer.language))
    return (
        f'<!DOCTYPE html>\n<html lang="{escape(answer.language)}" dir="{direction}"><head>'
        '<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex">'
        f"<title>{title}</title></head><body><main>{contacts}{card}{notice}{signs}{sentences}"
        f"{_sources(answer.citations, public_url)}</main></body></html>"
    )


def _signs(report: OfferReport, public_url: str) -> str:
    lines = (
        f"<li>{escape(signal.label)}: {escape(signal.evidence)}<p>{escape(signal.explanation)} "
        f"{_marks(signal.citations, anchor='sign')}</p></li>"
        for signal in report.signals
    )
    return f"<ul>{''.join(lines)}</ul>{_sources(report.citations, public_url, anchor='sign')}"


def _marks(numbers: Sequence[int], *, anchor: str = "source") -> str:
    return " ".join(f'<a href="#{anchor}-{n}">[{n}]</a>' for n in numbers)


def _sources(citations: Sequence[Citation], public_url: str, *, anchor: str = "source") -> str:
    lines = "".join(
        f'<li id="{anchor}-{one.n}" value="{one.n}">'
        f'<a href="{escape(public_url.rstrip("/") + one.href)}">{escape(one.title)}</a>, '
        f"{escape(one.publisher)}, {escape(one.date)}<blockquote>{escape(one.quote)}</blockquote></li>"
        for one in citations
    )
    return f"<ol>{lines}</ol>" if lines else ""


class PageStore:
    """Pages by their token. The database holds a keyed hash of the token and the page encrypted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, connection: Connection, token: str, conversation: str, page: str, now: float) -> None:
        """Keeps a page; it goes with the person's other data."""
        vault = self._database.vault
        row = {"key": vault.hide("page", token), "conversation": conversation, "created_at": now}
        connection.execute(insert_into(connection, pages).values(**row, body=vault.seal(page.encode())))

    def read(self, connection: Connection, token: str) -> str | None:
        """The page of a token; None where there is none (any more)."""
        vault = self._database.vault
        query = select(pages.c.body).where(pages.c.key == vault.hide("page", token))
        sealed = connection.execute(query).scalar()
        return None if sealed is None else vault.open(sealed).decode()
