"""Known questions: read from files, tied to sentences, indexed, and found by other wordings of themselves."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval import (
    CorpusError,
    HashEmbedder,
    KnownQuestion,
    Lexicon,
    Library,
    Searcher,
    build_index,
    load_index,
    save_index,
)
from retrieval.article_file import read_article
from retrieval.known_questions import read_questions_file, with_questions


@pytest.fixture
def corpus(corpus_dir: Path, tmp_path: Path) -> Path:
    """A copy of the tiny corpus that may be written into."""
    return Path(shutil.copytree(corpus_dir, tmp_path / "corpus"))


def write(corpus: Path, text: str, *, language: str = "en", article_id: str = "tiny-en-call") -> Path:
    path = corpus / "questions" / language / f"{article_id}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def questions(corpus: Path, tmp_path: Path, article_id: str = "tiny-en-call") -> tuple[KnownQuestion, ...]:
    articles = Library(corpus, tmp_path / "data").articles()
    return next(a.questions for a in articles if a.article_id == article_id)


def test_questions_are_tied_to_the_sentence_that_begins_so(corpus: Path, tmp_path: Path) -> None:
    write(corpus, "Police in Cambodia:\n- Which number do the police have?\n")
    write(corpus, "Police in:\n- Số của cảnh sát?\n", language="vi")
    assert questions(corpus, tmp_path) == (
        KnownQuestion("Which number do the police have?", "en", 0),
        KnownQuestion("Số của cảnh sát?", "vi", 0),
    )


def test_those_of_a_sentence_that_is_gone_or_not_the_only_one_are_left_out(own_article: object) -> None:
    body = "## 问\n打电话求助。[^one]打电话报警。[^two]"
    article = read_article(own_article(body=body))  # type: ignore[operator]
    known = with_questions(article, {"打电话": ("甲？",), "打电话报": ("乙？",), "早已不在": ("丙？",)}, "zh-Hans")
    assert known.questions == (KnownQuestion("乙？", "zh-Hans", 1),)
    assert known.digest == article.digest


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "Police: one question",
        "Police: [1]",
        "Police: ['']",
        "1: [why?]",
        "{",
        "Police: ['" + "x" * 401 + "']",
    ],
)
def test_a_file_that_is_none_is_named_and_skipped(corpus: Path, tmp_path: Path, text: str) -> None:
    path = write(corpus, text)
    with pytest.raises(CorpusError, match=path.name):
        read_questions_file(path)
    problems: list[CorpusError] = []
    articles = Library(corpus, tmp_path / "data").articles(problems.append)
    assert len(articles) == 12
    assert [path.name in str(problem) for problem in problems] == [True]


def test_a_folder_must_be_a_language(corpus: Path) -> None:
    with pytest.raises(CorpusError, match="klingon"):
        read_questions_file(write(corpus, "Police: [why?]", language="klingon"))


def test_a_changed_question_changes_the_fingerprint(corpus: Path, tmp_path: Path) -> None:
    library = Library(corpus, tmp_path / "data")
    before = library.fingerprint()
    write(corpus, "Police: [why?]")
    assert library.fingerprint() != before


@pytest.fixture
def searcher(corpus: Path, tmp_path: Path) -> Searcher:
    write(corpus, "Police in Cambodia:\n- Which digits reach the constables?\n")
    write(corpus, "Police in Cambodia:\n- Cảnh sát số mấy?\n", language="vi")
    articles = Library(corpus, tmp_path / "data").articles()
    return Searcher(build_index(articles, HashEmbedder(), Lexicon()), HashEmbedder(), Lexicon())


def test_another_wording_finds_the_sentence(searcher: Searcher) -> None:
    """The words of the question stand nowhere in the article."""
    query = searcher.query("constables, which digits reach", language="en")
    hits, sentences = searcher.find(query, 3)
    assert hits[0].article.article_id == "tiny-en-call"
    best = max(sentences, key=lambda s: s.asked_score)
    assert best.asked is not None
    assert best.asked.question == "Which digits reach the constables?"
    assert best.asked.share > 0.9


def test_without_known_questions_nothing_changes(searcher: Searcher) -> None:
    articles = [replace(a, questions=()) for a in searcher.index.articles.values()]
    plain = Searcher(build_index(articles, HashEmbedder(), Lexicon()), HashEmbedder(), Lexicon())
    query = plain.query("Police in Cambodia", language="en")
    assert plain.known_questions(query, 3, language="en") == []
    assert {s.asked for s in plain.find(query, 3)[1]} == {None}


def test_the_nearest_are_given_by_language_and_without_what_is_withdrawn(searcher: Searcher) -> None:
    query = searcher.query("digits", language="en")
    rows = searcher.known_questions(query, 3, language="vi")
    assert [searcher.index.questions[row].text for row in rows] == ["Cảnh sát số mấy?"]
    assert searcher.known_questions(query, 3, language="vi", without=frozenset(["tiny-en-call"])) == []


def test_saved_loaded_and_reused(searcher: Searcher, tmp_path: Path) -> None:
    save_index(searcher.index, tmp_path / "index")
    loaded = load_index(tmp_path / "index", HashEmbedder())
    assert loaded.questions == searcher.index.questions
    assert loaded.asked_terms == searcher.index.asked_terms != frozenset()

    class NoEmbedder(HashEmbedder):
        def embed_queries(self, texts: object, *, progress: object = None) -> object:  # type: ignore[override]
            raise AssertionError("every vector was there")

        embed_passages = place_questions = embed_queries  # type: ignore[assignment]

    again = build_index(list(loaded.articles.values()), NoEmbedder(), Lexicon(), reuse=loaded)
    assert again.question_vectors.n_rows == 2
