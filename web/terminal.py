"""Answers, offer reports and measures as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def show_answer(body: Mapping[str, Any]) -> str:
    """The body of `/v1/ask` as text; contacts stand first in an emergency."""
    contacts = [_contact(contact) for contact in body["contacts"]]
    lines: list[str] = []
    if body["status"] == "emergency":
        lines += [*contacts, *body["card"], ""]
        contacts = []
    if body["notice"]:
        lines += [body["notice"], ""]
    if body["offer"]:
        lines += [*_signs(body["offer"]), ""]
    lines += [f"{sentence['text']} {_marks(sentence['citations'])}" for sentence in body["sentences"]]
    if body["citations"]:
        lines.append("")
    for citation in body["citations"]:
        lines.append(f"[{citation['n']}] {citation['title']} · {citation['publisher']} · {citation['date']}")
        lines += [
            f"    {source['publisher']}：{source['title']}（{source['date']}）{source['url'] or ''}"
            for source in citation["sources"]
        ]
    lines += contacts
    lines += [f"? {suggestion}" for suggestion in body["suggestions"]]
    return "\n".join(lines).rstrip()


def show_offer(body: Mapping[str, Any]) -> str:
    """The body of `/v1/check-offer` as text."""
    return "\n".join(
        [f"{body['verdict']}  {body['score']:.2f}", body["notice"], *_signs(body), *map(_contact, body["contacts"])]
    ).rstrip()


def show_status(status: Mapping[str, Any]) -> str:
    """What `guitu index status` prints."""
    model, counts, backend = status["model"], status["counts"], status["backend"]
    return "\n".join(
        (
            f"index     {status['folder']} (format {status['format']})",
            f"built     {status['built']} ({status['age_hours']} h ago)",
            f"current   {'yes' if status['is_current'] else 'no: run `guitu index build`'}",
            f"model     {model['name']} ({model['dim']} wide, digest {model['digest'][:12]})",
            f"backend   {backend['name']} ({backend['why']})",
            f"counts    {counts['articles']} articles, {counts['reposts']} reposts, {counts['passages']} passages,"
            f" {counts['sentences']} sentences",
            f"withdrawn {', '.join(status['withdrawn']) or 'none'}",
        )
    )


def show_measures(measures: Mapping[str, Any]) -> str:
    """Measures, one a line."""
    width = max(len(name) for name in measures)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in measures.items())


def _signs(body: Mapping[str, Any]) -> list[str]:
    lines = []
    for signal in body["signals"]:
        lines.append(f"! {signal['label']}：{signal['evidence']}")
        lines.append(f"  {signal['explanation']} {_marks(signal['citations'])}")
    return lines + [f"[{c['n']}] {c['quote']}（{c['title']}）" for c in body["citations"]]


def _marks(numbers: list[int]) -> str:
    return "".join(f"[{n}]" for n in numbers)


def _contact(contact: Mapping[str, Any]) -> str:
    checked = contact["checked"] or "?"
    return f"☎ {contact['name']}：{contact['number']}（{checked}）"
