"""Questions that sentences of an article are known to answer, written by people.

`<folder>/<language>/<article id>.yaml` maps the words with which a sentence begins to the questions, in that language,
that it answers. A question is nearer to another wording of itself than to its answer, so they help to find the
sentence; they are never shown as text of the article.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from retrieval.errors import CorpusError
from retrieval.language import LANGUAGES
from retrieval.types import Article, KnownQuestion
from retrieval.yaml_text import load_yaml, refuse_deep_nesting

SUFFIX = ".yaml"
# Longer ones are no questions; the model reads no more than about this much anyway.
MAX_QUESTION_CHARS = 400
Questions = Mapping[str, tuple[str, ...]]


def question_paths(folder: Path) -> list[Path]:
    """The question files below `folder`, by name."""
    return sorted(path for path in folder.glob(f"*/*{SUFFIX}") if path.is_file())


def read_questions_file(path: Path) -> dict[str, tuple[str, ...]]:
    """The questions in `path`, by how the sentence begins that answers them.

    Raises:
        CorpusError: it is no such file; the message says why.
    """
    if path.parent.name not in LANGUAGES:
        raise CorpusError(f"'{path}' is in no folder of a language; name the folder {', '.join(sorted(LANGUAGES))}")
    try:
        text = path.read_text("utf-8")
        refuse_deep_nesting(text)
        data = load_yaml(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise CorpusError(f"'{path}' cannot be read as YAML ({str(error).splitlines()[0]}); mend it") from error
    if not isinstance(data, dict):
        raise CorpusError(f"'{path}' does not map sentences to questions; see CONTRIBUTING.md")
    found = {}
    for beginning, questions in data.items():
        is_list = isinstance(questions, list) and all(isinstance(q, str) and q.strip() for q in questions)
        if not isinstance(beginning, str) or not is_list or any(len(q) > MAX_QUESTION_CHARS for q in questions):
            raise CorpusError(
                f"'{path}': under '{str(beginning)[:40]}' stands no list of questions of at most"
                f" {MAX_QUESTION_CHARS} characters; mend it"
            )
        found[beginning] = tuple(questions)
    return found


def answering(article: Article, beginning: str) -> list[int]:
    """Numbers of the sentences of `article` that begin with the words `beginning`: one, where all is well."""
    return [n for n, s in enumerate(article.sentences) if article.text[s.start : s.end].startswith(beginning)]


def with_questions(article: Article, questions: Questions, language: str) -> Article:
    """`article` with these questions in `language`, added to those it has.

    Those of a sentence that is no longer there, or not the only one to begin so, are left out: an article may have
    been replaced by a newer one. `guitu corpus check` reports them.
    """
    known = list(article.questions)
    for beginning, asked in questions.items():
        sentences = answering(article, beginning)
        if len(sentences) == 1:
            known += [KnownQuestion(text, language, sentences[0]) for text in asked]
    return replace(article, questions=tuple(sorted(known, key=lambda q: (q.sentence, q.language, q.text))))


def questions_digest(articles: Iterable[Article]) -> str:
    """Same for the same questions of the same articles; hexadecimal."""
    digest = hashlib.sha256()
    for article in sorted(articles, key=lambda a: a.article_id):
        for question in article.questions:
            digest.update(f"{article.article_id}\0{question.sentence}\0{question.language}\0{question.text}\n".encode())
    return digest.hexdigest()
