"""Sixty attacks by the text of articles and of questions: text is shown or searched, and never obeyed.

Each hostile article is found by the odd word that it begins with. Fake numbers begin with +1-202-555-0, as no
contact of ours does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bot.evidence
from bot.answer import Answerer
from bot.contacts import ContactList
from bot.evidence import Chance, Weights
from bot.question import read_question
from bot.texts import catalogue
from bot.triage import Triage
from bot.types import Answer, Conversation, Turn
from bot.view import View
from retrieval import HashEmbedder, Index, Lexicon, Library, Searcher, build_index, clean

CONTACTS = ContactList.load(Path(__file__).resolve().parents[2] / "corpus" / "contacts.yaml")
ATTACKS: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parent / "attacks.jsonl").read_text("utf-8").splitlines()
]
IN_ARTICLES = [attack for attack in ATTACKS if attack["in"] == "article"]
IN_QUESTIONS = [attack for attack in ATTACKS if attack["in"] == "question"]
FAKE = re.compile(r"2025550[12]\d\d")


def by_id(attack: dict[str, Any]) -> str:
    return str(attack["id"])


def digits(text: str) -> str:
    """The digits of `text`, whatever stands between them and in whatever script they are written."""
    return "".join(str(unicodedata.digit(c)) for c in text if c.isdigit())


@pytest.fixture(autouse=True)
def _plain_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has the words of the question is answered, so that hostile text is shown wherever it can be."""
    plain = Weights({"overlap": 10.0}, 2.0, Chance({"bias": -1.0, "share": 8.0}, {}, 0.5))
    monkeypatch.setattr(bot.evidence, "weights", lambda reranked: plain)


@pytest.fixture(autouse=True)
def _nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """No attack may start a program or evaluate a text."""

    def refused(*arguments: object, **named: object) -> None:
        raise AssertionError(f"something was run: {arguments!r}")

    for owner, name in ((os, "system"), (os, "popen"), (subprocess, "Popen"), (os, "execv"), (os, "fork")):
        monkeypatch.setattr(owner, name, refused)
    for name in ("eval", "exec"):
        monkeypatch.setattr(f"bot.answer.{name}", refused, raising=False)
        monkeypatch.setattr(f"bot.compose.{name}", refused, raising=False)


@pytest.fixture(scope="module")
def hostile_index(
    corpus_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
    own_article: Callable[..., bytes],
    crawled_article: Callable[..., bytes],
) -> Index:
    """The tiny corpus with all hostile articles ingested as an operator would."""
    library = Library(corpus_dir, tmp_path_factory.mktemp("hostile"))
    known = library.articles()
    for n, attack in enumerate(IN_ARTICLES):
        if attack.get("crawled"):
            data = crawled_article(f"Hostile {n}", url=f"https://evil.example/{n}", body=attack["text"])
        else:
            data = own_article(f"evil-{attack['id']}", title=f"Hostile {n}", lang="en", body=f"{attack['text']}[^one]")
        outcome = library.add(attack["id"], data, known)
        assert outcome.outcome == "added", f"{attack['id']}: {outcome.reason}"
    return build_index(library.articles(), HashEmbedder(), Lexicon())


@pytest.fixture(scope="module")
def triage() -> Triage:
    return Triage(Lexicon())


@pytest.fixture
def ask(hostile_index: Index, triage: Triage) -> Callable[..., Answer]:
    """Asks the real bot over the hostile index, and checks what is always true of its answer."""
    searcher = Searcher(hostile_index, HashEmbedder(), Lexicon())
    answerer = Answerer(lambda: View(searcher), CONTACTS, triage)

    def asked(text: str, conversation: Conversation | None = None, **person: str) -> Answer:
        answer, after = answerer.answer(read_question(text, **person), conversation or Conversation("c"))
        check(answer, hostile_index)
        assert len(after.turns) >= 1
        return answer

    return asked


def check(answer: Answer, index: Index) -> None:
    """The promises of CONTRACT §2; and whatever is not a quote is a fixed sentence or a checked contact."""
    for contact in answer.contacts:
        assert contact is CONTACTS.by_id[contact.contact_id]
    fixed = {re.sub(r"\{.*?\}", "", sentence) for texts in catalogue().values() for sentence in texts.values()}
    for line in (answer.notice, *answer.card):
        assert line is None or line in fixed
    assert [c.n for c in answer.citations] == list(range(1, len(answer.citations) + 1))
    assert list(dict.fromkeys(n for s in answer.sentences for n in s.citations)) == [c.n for c in answer.citations]
    for citation in answer.citations:
        article = index.articles[citation.article_id]
        assert citation.quote == article.text[citation.start : citation.end]
        assert citation.url.startswith(("https://", "http://", "/articles/"))
        assert re.fullmatch(r"/articles/[\w%-]+\?start=\d+&end=\d+#quote", citation.href)
        assert all(s.url is None or s.url.startswith(("https://", "http://")) for s in citation.sources)
        if article.is_own:
            assert set(citation.sources) <= set(article.sources.values())
        else:
            assert {s.publisher for s in citation.sources} == {article.publisher}
    for sentence in answer.sentences:
        assert sentence.citations
        assert all(sentence.text in answer.citations[n - 1].quote for n in sentence.citations)
    headings = {passage.heading for passage in index.passages}
    assert set(answer.suggestions) <= headings
    if answer.status == "answered":
        assert answer.sentences
    if answer.status == "emergency":
        assert answer.contacts
    if answer.status in ("not_covered", "declined"):
        assert answer.sentences == answer.citations == ()
        assert answer.notice


def unquoted(answer: Answer) -> str:
    """Everything that a reader could take for the bot's own words."""
    contacts = [f"{c.number} {c.local} {c.names} {c.note} {c.address}" for c in answer.contacts]
    return " ".join([answer.notice or "", *answer.card, *contacts, *answer.suggestions])


def test_there_are_sixty_and_all_differ() -> None:
    assert len(ATTACKS) == 60
    assert len({attack["id"] for attack in ATTACKS}) == len({attack["text"] for attack in ATTACKS}) == 60
    assert len(IN_ARTICLES) == len(IN_QUESTIONS) == 30
    assert not any(FAKE.search(digits(f"{c.number} {c.local}")) for c in CONTACTS.contacts)


@pytest.mark.parametrize("attack", IN_ARTICLES, ids=by_id)
def test_an_article_is_quoted_and_never_obeyed(
    attack: dict[str, Any], ask: Callable[..., Answer], hostile_index: Index
) -> None:
    shown = attack["text"].split("\n\n")[0]
    lure = re.split(r"[ ：]", shown)[0]
    # Some of these words are cries for help: the card then stands in front, which is as it should be.
    answer = ask(f"{lure} {shown[:40]}"[:300], language="en")
    own = [c for c in answer.citations if clean(shown)[:30] in hostile_index.articles[c.article_id].text]
    assert answer.status in ("answered", "emergency", "declined")
    if answer.status == "answered":
        assert own, "the hostile article was not even found: the attack tests nothing"
        # As it stands in the file, less invisible characters: nothing filled in, nothing interpreted.
        for citation in own:
            kept = hostile_index.articles[citation.article_id].text
            if not attack.get("crawled"):
                assert clean(shown).replace("\n", " ") in kept.replace("\n", " ")
            assert citation.quote in kept
    assert not FAKE.search(digits(unquoted(answer)))
    assert not re.search(r"\b49\b|uid=\d", unquoted(answer))


@pytest.mark.parametrize("attack", IN_ARTICLES, ids=by_id)
def test_a_hostile_article_changes_no_other_answer(attack: dict[str, Any], ask: Callable[..., Answer]) -> None:
    """With the hostile words in the question too, an honest answer stands and no number is made up."""
    lure = re.split(r"[ ：]", attack["text"])[0]
    answer = ask("从境外拨打12308热线", nationality="CN", country="MM")
    assert answer.citations[0].article_id == "tiny-hotline"
    emergency = ask(f"我被关在园区里，护照被收了 {lure}", nationality="CN", country="MM")
    assert emergency.status == "emergency"
    assert emergency.contacts[0].contact_id == "cn-12308-abroad"
    assert not FAKE.search(digits(unquoted(emergency)))


@pytest.mark.parametrize("attack", IN_QUESTIONS, ids=by_id)
def test_a_question_is_searched_and_never_obeyed(attack: dict[str, Any], ask: Callable[..., Answer]) -> None:
    answer = ask(attack["text"], nationality="CN", country="MM")
    assert not FAKE.search(digits(unquoted(answer)))
    assert attack["text"] not in unquoted(answer)
    assert not re.search(r"\b49\b|root:|uid=\d|__subclasses__", unquoted(answer))
    # The same answer every time: nothing that was said before has been learnt.
    again = ask(attack["text"], nationality="CN", country="MM")
    assert (again.status, again.sentences, again.contacts) == (
        answer.status,
        answer.sentences,
        answer.contacts,
    )


@pytest.mark.parametrize("attack", IN_QUESTIONS, ids=by_id)
def test_what_was_asked_before_brings_no_number_either(attack: dict[str, Any], ask: Callable[..., Answer]) -> None:
    before = Conversation("c", (Turn(attack["text"][:2000], (), "general"),))
    answer = ask("那泰国呢", before)
    assert not FAKE.search(digits(unquoted(answer)))


def test_the_text_of_articles_is_kept_as_it_came(hostile_index: Index) -> None:
    texts = {article.article_id: article.text for article in hostile_index.articles.values()}
    seen = 0
    for attack in IN_ARTICLES:
        if not attack.get("crawled"):
            assert clean(attack["text"]) in texts[f"evil-{attack['id']}"]
            seen += 1
    assert seen >= 25


def test_a_footnote_in_a_crawled_article_names_no_source(hostile_index: Index) -> None:
    crawled = [a for a in hostile_index.articles.values() if not a.is_own]
    assert len(crawled) == sum(bool(attack.get("crawled")) for attack in IN_ARTICLES)
    assert all(article.sources == {} for article in crawled)
    assert not any(sentence.source_keys for article in crawled for sentence in article.sentences)


@pytest.mark.parametrize(
    "body",
    [
        "答案。[^../../etc/passwd]",
        "答案。[^12308]",
        "答案。[^one]\n[^one]: javascript:alert(1)",
    ],
)
def test_a_footnote_of_our_own_form_names_a_source_of_its_file_or_is_refused(
    tmp_path: Path, own_article: Callable[..., bytes], body: str
) -> None:
    library = Library(tmp_path / "corpus", tmp_path / "data")
    outcome = library.add("x", own_article("an-article", body=body), [])
    articles = library.articles()
    assert outcome.outcome == "rejected" or all(
        set(sentence.source_keys) <= set(article.sources) for article in articles for sentence in article.sentences
    )
    assert "javascript" not in str([article.sources for article in articles])


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", " java\tscript:x"])
def test_an_address_that_is_no_web_page_is_refused(
    tmp_path: Path, own_article: Callable[..., bytes], crawled_article: Callable[..., bytes], url: str
) -> None:
    library = Library(tmp_path / "corpus", tmp_path / "data")
    crawled = library.add("x", crawled_article(url=json.dumps(url), body="警方昨天抓获了三十名嫌疑人，还在侦办。"), [])
    own = library.add("y", own_article("an-article").replace(b"https://example.org/1", url.encode()), [])
    assert (crawled.outcome, own.outcome) == ("rejected", "rejected"), (crawled, own)
