"""Turns an answer into messages that fit a platform: neutral words for everything, and only the answer's own
facts.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from urllib.parse import quote

from bot.types import Answer, Contact, OfferReport
from web.channels.base import Block, Caps, Choice, Link, Outbound, Part, Unit
from web.channels.phrases import phrase

MAX_CHOICES = 3
MAX_SIGNS = 6
# 3GPP TS 23.038, basic set and extension (the extension costs two septets).
_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION = frozenset("^{}\\[~]|€")
_SENTENCE_END = re.compile(r"(?<=[。！？!?၊။។؟۔।])|(?<=[.])(?=\s)")
_STARS = str.maketrans({"*": "＊", "_": "＿", "~": "～", "`": "｀"})


def measure(text: str, unit: Unit) -> int:
    """The size of a text as the platform counts it.

    `sms` counts UCS-2 units, 67 in a part; a text in the GSM alphabet is cheaper (153 in a part) and is given
    in the same measure.
    """
    match unit:
        case "bytes":
            return len(text.encode())
        case "utf16":
            return len(text.encode("utf-16-le")) // 2
        case "chars":
            return len(text)
        case "sms":
            if all(char in _GSM7 or char in _GSM7_EXTENSION for char in text):
                n_septets = sum(2 if char in _GSM7_EXTENSION else 1 for char in text)
                return ceil(n_septets * 67 / 153)
            return len(text.encode("utf-16-le")) // 2


def answer_outbound(answer: Answer, *, public_url: str, full_url: str, is_watched: bool = False) -> Outbound:
    """What to say for an answer.

    The order is fixed: a neutral first line where the person may be watched, contacts, card, notice,
    sentences with the numbers of their citations, links. What an offer shows stands before the contacts, unless it is an
    emergency. Every number and address comes from the answer.
    """
    blocks: list[Block] = []
    if is_watched or answer.situation == "trapped":
        blocks.append(Block("preface", phrase("neutral", answer.language)))
    contacts = [Block("contact", contact_line(contact, answer.language)) for contact in answer.contacts]
    notice = [Block("notice", answer.notice)] if answer.notice else []
    if answer.offer is not None and answer.status != "emergency":
        blocks += [*notice, *sign_blocks(answer.offer), *contacts]
    else:
        blocks += [*contacts, *(Block("card", line) for line in answer.card), *notice]
    blocks += [Block("sentence", sentence.text, sentence.citations) for sentence in answer.sentences]
    links = tuple(
        Link(
            citation.n,
            f"{citation.title} ({citation.publisher}, {citation.date})",
            public_url.rstrip("/") + citation.href,
        )
        for citation in answer.citations
    )
    # A keyboard of suggestions would stay on the screen of someone who may be watched.
    may_suggest = not (is_watched or answer.situation == "trapped")
    choices = tuple(Choice(question, question) for question in answer.suggestions[:MAX_CHOICES]) if may_suggest else ()
    return Outbound(
        blocks=tuple(blocks),
        links=links,
        choices=choices,
        full=Link(None, phrase("full", answer.language), full_url),
        language=answer.language,
        situation=answer.situation,
    )


def sign_blocks(report: OfferReport) -> list[Block]:
    """Signs that an offer shows, each once, the first of them."""
    lines = dict.fromkeys(f"{signal.label}: {signal.explanation}" for signal in report.signals)
    return [Block("say", line) for line in list(lines)[:MAX_SIGNS]]


def contact_line(contact: Contact, language: str) -> str:
    """A contact as one line: its name, and how to reach it."""
    name = contact.names.get(language) or contact.names.get("en") or next(iter(contact.names.values()), "")
    ways = [way for way in (contact.number, contact.local) if way]
    if len(ways) == 2 and ways[0] != ways[1]:
        reach = f"{ways[0]} ({contact.country}: {ways[1]})"
    elif ways:
        reach = ways[0]
    else:
        reach = contact.address or ""
    return f"{name}: {reach}" if reach else name


def say(text: str, language: str) -> Outbound:
    """Words of ours that are not an answer."""
    return Outbound(blocks=(Block("say", text),), language=language, notice=True)


def before(lead: str, out: Outbound, *, neutral: str | None = None) -> Outbound:
    """An answer with a line in front of it; a neutral first line stays first."""
    rest = tuple(block for block in out.blocks if block.kind != "preface")
    had_preface = len(rest) < len(out.blocks)
    preface = next((block for block in out.blocks if block.kind == "preface"), None)
    if preface is None and neutral is not None:
        preface, had_preface = Block("preface", neutral), True
    head = (preface,) if had_preface and preface is not None else ()
    return replace(out, blocks=(*head, Block("say", lead), *rest))


@dataclass(frozen=True, slots=True)
class _Piece:
    kind: str
    text: str
    plain: str


def render_parts(out: Outbound, caps: Caps, *, max_parts: int, show_choices: bool = False) -> list[Part]:
    """The parts of an answer, each within the limits of the platform.

    Text is cut between sentences and links only. Sentences that do not fit, and their links, are left out
    from the end, and the link to the whole answer takes their place.
    """
    head = [block for block in out.blocks if block.kind != "sentence"]
    sentences = [block for block in out.blocks if block.kind == "sentence"]
    choices = out.choices if show_choices else ()
    for n_choices in dict.fromkeys((len(choices), 0)):
        for n_sentences in range(len(sentences), -1, -1):
            if n_choices and n_sentences < len(sentences):
                break  # rather without suggestions than without sentences
            pieces = [_block_piece(block, caps) for block in (*head, *sentences[:n_sentences])]
            pieces += _link_pieces(out, sentences[:n_sentences], caps, is_cut=n_sentences < len(sentences))
            pieces += [_choice_piece(choice, caps) for choice in choices[:n_choices]]
            packed = _pack(pieces, caps, max_parts)
            if packed is not None:
                return packed
    # Even the head is too large: contacts stay longest, then what stands before them.
    for n_head in range(len(head) - 1, 0, -1):
        pieces = [_block_piece(block, caps) for block in head[:n_head]]
        packed = _pack([*pieces, *_link_pieces(out, (), caps, is_cut=True)], caps, max_parts) or _pack(
            pieces, caps, max_parts
        )
        if packed is not None:
            return packed
    text = cut("\n".join(block.text for block in head) or out.text, caps.max_units, caps.unit)
    return [Part(_escape(text, caps), text)] if text else []


def _block_piece(block: Block, caps: Caps) -> _Piece:
    marks = "".join(f"[{n}]" for n in block.cites) if caps.links == "numbered" else ""
    plain = f"{block.text} {marks}" if marks else block.text
    return _Piece(block.kind, _escape(plain, caps), plain)


def _link_pieces(out: Outbound, shown: Iterable[Block], caps: Caps, *, is_cut: bool) -> list[_Piece]:
    used = {n for block in shown for n in block.cites}
    links = [link for link in out.links if link.n in used] if caps.links == "numbered" else []
    needs_full = is_cut or (caps.links == "full" and bool(out.links or out.situation))
    if out.full is not None and out.full.url and needs_full:
        links.append(out.full)
    return [_link_piece(link, caps) for link in links]


def _link_piece(link: Link, caps: Caps) -> _Piece:
    number = f"[{link.n}] " if link.n is not None else ""
    plain = f"{number}{link.title}\n{link.url}"
    match caps.markup:
        case "telegram" | "wechat":
            anchor = f'<a href="{html.escape(link.url)}">{_escape(link.title, caps)}</a>'
            return _Piece("link", number + anchor, plain)
        case _:
            return _Piece("link", f"{number}{_escape(link.title, caps)}\n{link.url}", plain)


def _choice_piece(choice: Choice, caps: Caps) -> _Piece:
    if caps.markup == "wechat":
        # A question that is asked by a touch: doc/service/api/customer/message/api_sendcustommessage.
        href = f"weixin://bizmsgmenu?msgmenucontent={quote(choice.value)}&msgmenuid=1"
        return _Piece("choice", f'<a href="{href}">{_escape(choice.label, caps)}</a>', choice.label)
    return _Piece("choice", _escape(choice.label, caps), choice.label)


def _escape(text: str, caps: Caps) -> str:
    """Text that the platform shows as it is. Where a markup has no escape, a look-alike takes the place of
    its sign.
    """
    match caps.markup:
        case "telegram":
            return html.escape(text, quote=False)
        case "wechat":
            return text.replace("<", "＜").replace(">", "＞")
        case "stars":
            return text.translate(_STARS)
        case _:
            return text


def _pack(pieces: Sequence[_Piece], caps: Caps, max_parts: int) -> list[Part] | None:
    """The pieces as parts in order, or None where they are too many or one cannot be made to fit."""
    packed: list[tuple[str, str]] = []
    for piece in pieces:
        text, plain = piece.text, piece.plain
        if measure(text, caps.unit) > caps.max_units:
            if piece.kind in ("sentence", "link", "choice"):
                return None
            plain = cut(plain, caps.max_units // 2, caps.unit)
            text = _escape(plain, caps)
        joined = f"{packed[-1][0]}\n{text}" if packed else ""
        if packed and measure(joined, caps.unit) <= caps.max_units:
            packed[-1] = (joined, f"{packed[-1][1]}\n{plain}")
        elif len(packed) < max_parts:
            packed.append((text, plain))
        else:
            return None
    return [Part(text, plain) for text, plain in packed]


def cut(text: str, max_units: int, unit: Unit) -> str:
    """The beginning of a text that fits, cut after a sentence, or between characters where one sentence is
    too long.
    """
    if measure(text, unit) <= max_units:
        return text
    kept = ""
    for sentence in _SENTENCE_END.split(text):
        if measure(kept + sentence, unit) > max_units:
            break
        kept += sentence
    if kept.strip():
        return kept.rstrip()
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle] + "…", unit) <= max_units:
            low = middle
        else:
            high = middle - 1
    while low > 0 and _joins(text, low):
        low -= 1
    return text[:low] + "…" if low else ""


def _joins(text: str, at: int) -> bool:
    """Whether a character at an index belongs to the one before it (accents, emoji sequences)."""
    char, last = text[at], text[at - 1]
    return (
        unicodedata.category(char) in ("Mn", "Mc", "Me")
        or char == "\u200d"
        or last == "\u200d"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or ("\U0001f1e6" <= char <= "\U0001f1ff" and "\U0001f1e6" <= last <= "\U0001f1ff")
    )
