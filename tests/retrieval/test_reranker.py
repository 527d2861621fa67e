"""Question and sentence held against each other token by token."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import retrieval.reranker
import retrieval.search
from retrieval import (
    HashEmbedder,
    Index,
    IndexDamagedError,
    IndexStaleError,
    Lexicon,
    Reading,
    Searcher,
    build_index,
    load_index,
    number_lines,
    save_index,
)
from retrieval.embed import Embeddings, Progress
from retrieval.encoders import OpenVinoEmbedder
from retrieval.learned_file import PROBE_TEXT
from retrieval.reranker import (
    LOG_ODDS_RANGE,
    MAX_QUESTION_TOKENS,
    MAX_SENTENCE_TOKENS,
    RERANKER_FILE,
    Keys,
    KeyTable,
    Reranker,
)
from retrieval.search import RERANKED_WEIGHT

DIM, WIDTH, D, H = 6, 8, 4, 5


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def written(tmp_path: Path, chance: np.random.Generator) -> Path:
    path = tmp_path / "reranker.txt"
    blocks = [chance.normal(size=shape) for shape in Reranker.shapes(DIM, WIDTH, D, H)]
    path.write_text(f"{DIM} {WIDTH} {D} {H}\n{number_lines(blocks)}", "utf-8")
    return path


def tokens(chance: np.random.Generator, n: int) -> np.ndarray:
    return chance.normal(size=(n, WIDTH)).astype(np.float32)


def test_the_score_of_one_of_few_does_not_depend_on_the_others(written: Path, chance: np.random.Generator) -> None:
    reranker = Reranker.load(written)
    keys = [reranker.keys(tokens(chance, n)) for n in (1, 7, 3, 200)]
    question = tokens(chance, 9)
    together = reranker.scores(question, keys)
    alone = [reranker.scores(question, [key])[0] for key in keys]
    assert together.shape == (4,)
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_what_is_not_looked_at_closely_comes_after(
    written: Path, chance: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    reranker = Reranker.load(written)
    keys = [reranker.keys(tokens(chance, n)) for n in (5, 3, 8, 2, 6, 4)]
    question = tokens(chance, 9)
    every = reranker.scores(question, keys)
    monkeypatch.setattr(retrieval.reranker, "N_CLOSE", 2)
    some = reranker.scores(question, keys)
    close = np.isclose(some, every, atol=1e-4)
    assert close.sum() >= 2
    assert some[~close].max() <= some[close].min()


def test_keys_are_bytes_of_unit_length_and_bounded_in_number(written: Path, chance: np.random.Generator) -> None:
    keys = Reranker.load(written).keys(tokens(chance, 2 * MAX_SENTENCE_TOKENS))
    assert keys.shape == (MAX_SENTENCE_TOKENS, D)
    assert keys.dtype == np.int8
    np.testing.assert_allclose(np.linalg.norm(keys / 127, axis=1), 1, atol=0.02)


def test_of_a_long_question_the_end_is_read(written: Path, chance: np.random.Generator) -> None:
    """A follow-up stands behind its topic, and a story comes to its point at the end."""
    reranker = Reranker.load(written)
    keys, question = [reranker.keys(tokens(chance, 5))], tokens(chance, 2 * MAX_QUESTION_TOKENS)
    end = reranker.scores(question[MAX_QUESTION_TOKENS:], keys)
    assert reranker.scores(question, keys) == pytest.approx(end)


def test_nothing_to_read_is_no_error(written: Path, chance: np.random.Generator) -> None:
    reranker = Reranker.load(written)
    assert reranker.scores(tokens(chance, 3), []).shape == (0,)
    key = reranker.keys(tokens(chance, 2))
    assert reranker.scores(tokens(chance, 0), [key]).tolist() == [0.0]


def test_it_belongs_to_one_model(written: Path) -> None:
    assert not Reranker.load(written).fits(HashEmbedder().read_query(PROBE_TEXT))


def test_a_table_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    rows = [np.full((n, 3), n, dtype=np.int8) for n in (2, 1, 4)]
    KeyTable.build(rows).save(tmp_path / "keys")
    loaded = KeyTable.load(tmp_path / "keys")
    assert loaded.n_rows == 3
    assert all((loaded.of(i) == row).all() for i, row in enumerate(rows))


def test_a_table_without_sentences_is_a_table(tmp_path: Path) -> None:
    KeyTable.build([]).save(tmp_path / "keys")
    assert KeyTable.load(tmp_path / "keys").n_rows == 0


def test_parts_of_two_tables_are_refused(tmp_path: Path) -> None:
    KeyTable.build([np.zeros((2, 3), dtype=np.int8)]).save(tmp_path / "keys")
    KeyTable.build([np.zeros((5, 3), dtype=np.int8)]).save(tmp_path / "other")
    (tmp_path / "other.npy").rename(tmp_path / "keys.npy")
    with pytest.raises(IndexDamagedError, match="index build"):
        KeyTable.load(tmp_path / "keys")


@pytest.mark.model
class TestTheOneOfThePackage:
    """With the default model."""

    def test_it_fits(self, openvino_embedder: OpenVinoEmbedder) -> None:
        assert openvino_embedder.reranker is not None
        assert openvino_embedder.reranker.digest == Reranker.load(RERANKER_FILE).digest

    @pytest.mark.parametrize(
        ("question", "answer", "beside"),
        [
            (
                "12308要收费吗",
                "拨打12308只收当地通话费，热线本身不收费。",
                "12308热线全天24小时有人接听，外交部值守。",
            ),
            (
                "How many people were freed?",
                "More than 7,000 people were freed in February 2025.",
                "The compound stands on the river, across from the town of Mae Sot.",
            ),
        ],
    )
    def test_what_answers_stands_above_what_has_the_same_subject(
        self, openvino_embedder: OpenVinoEmbedder, question: str, answer: str, beside: str
    ) -> None:
        _, keys = openvino_embedder.read_sentences([answer, beside])
        asked = openvino_embedder.read_query(question).tokens
        assert keys is not None
        assert asked is not None
        assert openvino_embedder.reranker is not None
        right, other = openvino_embedder.reranker.scores(asked, keys)
        assert right > other + 1

    def test_sentences_read_together_are_those_read_alone(self, openvino_embedder: OpenVinoEmbedder) -> None:
        texts = ["The line is open day and night.", "在柬埔寨打117。", ""]
        vectors, keys = openvino_embedder.read_sentences(texts)
        np.testing.assert_allclose(vectors, openvino_embedder.embed_passages(texts), atol=2e-3)
        assert keys is not None
        for text, key in zip(texts, keys, strict=True):
            _, alone = openvino_embedder.read_sentences([text])
            assert alone is not None
            assert alone[0].shape == key.shape
            assert np.abs(alone[0].astype(int) - key.astype(int)).max() <= 4


class _LongestWins:
    """Thinks that the longest sentence answers best; its keys are the length of the text."""

    digest = "longest"

    def scores(self, tokens: np.ndarray, keys: list[np.ndarray]) -> np.ndarray:
        return np.array([float(key[0, 0]) for key in keys], dtype=np.float32)


class _Reading(HashEmbedder):
    """`HashEmbedder` with tokens; counts the sentences that it read."""

    reranker = _LongestWins()  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.n_read = 0

    def read_query(self, text: str) -> Reading:
        vector = self.embed_query(text)
        return Reading(vector, np.ones((2, 3), dtype=np.float32), vector)

    def read_sentences(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> tuple[Embeddings, list[Keys] | None]:
        self.n_read += len(texts)
        keys = [np.array([[min(len(text), 120)]], dtype=np.int8) for text in texts]
        return self.embed_passages(texts, progress=progress), keys


class TestSearch:
    """The searcher and the index with a reranker of their own."""

    def test_sentences_are_reranked_and_passages_move_with_them(self, tiny_index: Index) -> None:
        embedder = _Reading()
        index = build_index(list(tiny_index.articles.values()), embedder, Lexicon())
        searcher = Searcher(index, embedder, Lexicon())
        hits, scored = searcher.find(searcher.query("12308"), 3)
        assert [s.reranked for s in scored] == [min(len(s.text), 120) for s in scored]
        plain = Searcher(replace(index, sentence_keys=None), embedder, Lexicon())
        hits_before, scored_before = plain.find(plain.query("12308"), 12)
        assert {s.reranked for s in scored_before} == {None}
        before = {hit.passage.passage_id: hit.score for hit in hits_before}
        gained = {hit.passage.passage_id: hit.score - before[hit.passage.passage_id] for hit in hits}
        best = {key: max(s.reranked or 0 for s in scored if s.hit.passage.passage_id == key) for key in gained}
        for key, gain in gained.items():
            assert gain == pytest.approx(RERANKED_WEIGHT * (min(best[key], LOG_ODDS_RANGE) + LOG_ODDS_RANGE), abs=1e-4)

    def test_keys_are_saved_loaded_and_reused(self, tiny_index: Index, tmp_path: Path) -> None:
        embedder = _Reading()
        articles = list(tiny_index.articles.values())
        index = build_index(articles, embedder, Lexicon())
        assert embedder.n_read == len(index.sentences)
        save_index(index, tmp_path)
        loaded = load_index(tmp_path, embedder)
        assert loaded.sentence_keys is not None
        assert index.sentence_keys is not None
        for row in range(len(index.sentences)):
            assert (loaded.sentence_keys.of(row) == index.sentence_keys.of(row)).all()
        again = build_index(articles, embedder, Lexicon(), reuse=loaded)
        assert embedder.n_read == len(index.sentences)
        assert again.sentence_keys is not None
        assert (again.sentence_keys.of(3) == index.sentence_keys.of(3)).all()

    def test_with_another_reranker_only_sentences_are_read_again(self, tiny_index: Index) -> None:
        articles = list(tiny_index.articles.values())
        index = build_index(articles, _Reading(), Lexicon())

        class Another(_Reading):
            reranker = type("_", (_LongestWins,), {"digest": "another"})()

            def embed_passages(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
                assert set(texts) <= sentences
                return super().embed_passages(texts, progress=progress)

        sentences = {
            index.articles[index.passages[row.passage_row].article_id].text[row.sentence.start : row.sentence.end]
            for row in index.sentences
        }
        embedder = Another()
        again = build_index(articles, embedder, Lexicon(), reuse=index)
        assert embedder.n_read == len(index.sentences)
        assert again.manifest["model"]["reranker"] == "another"

    def test_how_many_are_asked_for_does_not_change_the_first(
        self, tiny_index: Index, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retrieval.search, "N_RERANKED", 4)
        embedder = _Reading()
        searcher = Searcher(build_index(list(tiny_index.articles.values()), embedder, Lexicon()), embedder, Lexicon())
        few, many = (searcher.search("护照被扣怎么办", k) for k in (3, 12))
        assert many[:3] == few
        _, scored = searcher.find(searcher.query("护照被扣怎么办"), 12)
        assert len({s.hit.passage.passage_id for s in scored if s.reranked is not None}) == 4

    def test_keys_of_other_sentences_are_damage(self, tiny_index: Index, tmp_path: Path) -> None:
        index = build_index(list(tiny_index.articles.values()), _Reading(), Lexicon())
        save_index(replace(index, sentence_keys=KeyTable.build([np.zeros((1, 1), np.int8)])), tmp_path)
        with pytest.raises(IndexDamagedError, match="do not fit together"):
            load_index(tmp_path, _Reading())

    def test_an_index_made_with_another_reranker_is_stale(self, tiny_index: Index, tmp_path: Path) -> None:
        save_index(build_index(list(tiny_index.articles.values()), _Reading(), Lexicon()), tmp_path)
        with pytest.raises(IndexStaleError, match="reranker longest"):
            load_index(tmp_path, HashEmbedder())
