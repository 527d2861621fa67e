"""Embedders: the real one, the fallback, the stand-in, and the choice among them."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import embed, encoders, export
from retrieval.embed import (
    Embedder,
    HashEmbedder,
    OpenVinoEmbedder,
    SentenceTransformerEmbedder,
    load_embedder,
)
from retrieval.encoders import (
    EXPORT_FORMAT,
    N_TOGETHER,
    FairPool,
    Together,
    batches_by_length,
    clean_text,
    model_digest,
)
from retrieval.errors import EmbedderError
from retrieval.padding import SHORT_TOKENS
from retrieval.vectors import to_unit_rows

HOSTILE = {
    "empty": "",
    "blank": " \n\t\u3000",
    "nul": "\0",
    "nul inside": "电信\0诈骗",
    "lone surrogates": "\udc80 电信 \ud83d",
    "only surrogates": "\ud800" * 50,
    "arabic ligature": "\ufdfa" * 5000,
    "a megabyte": "电信诈骗 report it. " * 60_000,
    "a megabyte without a space": "诈" * 1_000_000,
    "a megabyte of spaces": " " * 1_000_000,
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "stacked marks": "e" + "\u0301\u0323" * 5000,
    "special tokens": "<s></s><pad><unk><mask>" * 200,
    "beyond the vocabulary": "\U000e0041\U0010fffd\ufffe" * 300,
    "emoji": "👨‍👩‍👧‍👦🏳️‍🌈" * 300,
}

MIXED = [
    "短",
    "首次在当阳抓了多少人？",
    "缅北临近我边境的规模化电诈园区已全部被清除。" * 40,
    "How do I report a job scam?",
    "Làm thế nào để trình báo lừa đảo việc làm ở nước ngoài? " * 6,
    "ฉันถูกหลอกให้ไปทำงานที่เมียนมา จะขอความช่วยเหลือได้ที่ไหน",
    "မြန်မာနိုင်ငံမှာ အလုပ်လိမ်ခံရရင် ဘယ်ကို ဆက်သွယ်ရမလဲ " * 3,
    "",
    "The police of both countries handed over 31,000 suspects. " * 12,
]


def assert_unit(embeddings: embed.Embeddings, shape: tuple[int, ...]) -> None:
    assert embeddings.shape == shape
    assert embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all()
    assert np.linalg.norm(embeddings, axis=-1) == pytest.approx(np.ones(shape[:-1]), abs=1e-5)


# -- parts ---------------------------------------------------------------------------------------------------


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, retrieval, retrieval.embed; heavy = {'torch', 'transformers', 'sentence_transformers', "
        "'openvino', 'tokenizers', 'huggingface_hub', 'safetensors'}; print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  a \n\t b\u3000c ", "a b c"),
        ("a\0b", "a\ufffdb"),
        ("\ud83dx\udc80", "\ufffdx\ufffd"),
        ("😀", "😀"),
        ("abcdefghijkl", "abcdefghij"),
        (" " * 39 + "x", "x"),
        (" " * 40 + "x", ""),
    ],
)
def test_clean_text(text: str, clean: str) -> None:
    assert clean_text(text, 10) == clean


@given(st.text(st.characters(codec=None), max_size=80), st.integers(1, 20))
def test_cleaned_text_is_short_encodable_and_stays_as_it_is(text: str, max_chars: int) -> None:
    cleaned = clean_text(text, max_chars)
    assert len(cleaned) <= max_chars
    assert "\0" not in cleaned
    cleaned.encode("utf-8")
    assert clean_text(cleaned, max_chars).strip() == cleaned.strip()


def test_rows_without_direction_become_the_first_axis() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
    assert to_unit_rows(rows) == pytest.approx(np.array([[0.6, 0.8], [1, 0], [1, 0], [1, 0]]))
    assert rows[0, 0] == 3.0  # the argument is left alone


@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 2000))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int], max_tokens: int) -> None:
    batches = list(batches_by_length(lengths, max_tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= max_tokens
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(flat, reverse=True)


def test_things_are_lent_in_the_order_asked_for() -> None:
    pool = FairPool(["thing"])
    order: list[str] = []

    def use(name: str) -> None:
        with pool.lend() as thing:
            order.append(f"{name} has the {thing}")

    threads = [threading.Thread(target=use, args=(name,)) for name in ("first", "second")]
    with pool.lend():
        for n_waiting, thread in enumerate(threads, 1):
            thread.start()
            _wait_until(lambda n=n_waiting: len(pool._waiting) == n)
    use("last")  # asked for at once, but after the two
    for thread in threads:
        thread.join()
    assert order == ["first has the thing", "second has the thing", "last has the thing"]


def test_a_thing_is_given_back_after_an_error() -> None:
    pool = FairPool(["thing"])
    with pytest.raises(ZeroDivisionError), pool.lend():
        raise ZeroDivisionError
    with pool.lend() as thing:
        assert thing == "thing"


class TestTogether:
    def test_those_who_wait_are_served_together_in_their_order(self) -> None:
        together, served, became = _served_while_three_wait(lambda things: [10 * thing for thing in things])
        assert served == [[0], [1, 2], [3]]
        assert became == {0: 0, 1: 10, 2: 20, 3: 30}
        assert together.get(4) == 40

    def test_as_many_serve_as_may(self) -> None:
        both = threading.Barrier(2)

        def serve(things: list[int]) -> list[int]:
            both.wait(10)
            return things

        together = Together(serve, most=2, n_at_once=2)
        became: list[int] = []
        threads = [threading.Thread(target=lambda n=n: became.append(together.get(n))) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(became) == [0, 1]

    def test_an_error_reaches_all_who_were_served_and_nobody_else(self) -> None:
        def become(things: list[int]) -> list[int]:
            if 1 in things:
                raise ZeroDivisionError
            return things

        _, _, became = _served_while_three_wait(become)
        assert became == {0: 0, 1: ZeroDivisionError, 2: ZeroDivisionError, 3: 3}


def _served_while_three_wait(
    become: Callable[[list[int]], list[int]],
) -> tuple[Together, list[list[int]], dict[int, object]]:
    """Threads ask for 0 to 3, the last three while the first one is served: what served them, what was served together, and
    what each became or the class of its error."""
    served: list[list[int]] = []
    goes_on = threading.Event()

    def serve(things: list[int]) -> list[int]:
        served.append(things)
        assert goes_on.wait(10)
        return become(things)

    together = Together(serve, most=2, n_at_once=1)
    became: dict[int, object] = {}

    def ask(n: int) -> None:
        try:
            became[n] = together.get(n)
        except ZeroDivisionError as error:
            became[n] = type(error)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for n, thread in enumerate(threads):
        thread.start()
        _wait_until(lambda n=n: len(served) == 1 and len(together._waiting) == n)
    goes_on.set()
    for thread in threads:
        thread.join(10)
    return together, served, became


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# -- the stand-in --------------------------------------------------------------------------------------------


class TestHashEmbedder:
    def test_one_letter_is_one_axis(self) -> None:
        code = 0xE8B7BE43  # CRC-32 of "a", as tables give it
        assert zlib.crc32(b"a") == code
        expected = np.zeros(256, np.float32)
        expected[0x43] = 1.0  # the remainder by 256; the top bit makes the sign
        assert HashEmbedder().embed_query("A").tolist() == expected.tolist()

    def test_texts_that_share_characters_are_nearer(self) -> None:
        embedder = HashEmbedder()
        query = embedder.embed_query("首次在当阳抓了多少人？")
        near, far = embedder.embed_passages(["在当阳首次抓了1079人。", "The weather is fine today."])
        assert query @ near > 0.3 > query @ far

    def test_same_text_same_vector_everywhere(self) -> None:
        embedder: Embedder = HashEmbedder(64)
        texts = ["ＡＢ　Ｃ", "电信诈骗"]
        rows = embedder.embed_passages(texts)
        assert np.array_equal(rows, embedder.embed_queries(texts))
        assert np.array_equal(rows[0], embedder.embed_query("abc"))
        # Recorded once; a change means that stored test indexes are stale.
        assert embedder.digest == HashEmbedder(64).digest != HashEmbedder(65).digest
        assert np.flatnonzero(embedder.embed_query("骗")).tolist() == [zlib.crc32("骗".encode()) % 64]

    def test_progress_ends_at_all(self) -> None:
        seen: list[tuple[int, int]] = []
        HashEmbedder().embed_passages(["a", "b"], progress=lambda done, n: seen.append((done, n)))
        assert seen == [(1, 2), (2, 2)]

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    def test_hostile_texts(self, text: str) -> None:
        assert_unit(HashEmbedder().embed_query(text), (256,))


# -- the real model ------------------------------------------------------------------------------------------


@pytest.mark.model
class TestOpenVino:
    def test_it_knows_what_it_is(self, openvino_embedder: OpenVinoEmbedder, model_dir: Path) -> None:
        embedder: Embedder = openvino_embedder
        assert (embedder.name, embedder.dim, embedder.backend) == ("multilingual-e5-small", 384, "openvino")
        assert embedder.digest == model_digest(model_dir)
        assert openvino_embedder.info.n_checked >= 100
        assert openvino_embedder.info.min_cosine >= 0.9995

    def test_it_serves_without_torch(self, model_data_dir: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from retrieval.embed import load_embedder; "
            "lines = []; e = load_embedder(None, Path(sys.argv[1]), progress=lines.append); "
            "e.embed_query('当阳'); e.embed_passages(['a', 'b']); "
            "print(lines, sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
        )
        command = [sys.executable, "-c", code, str(model_data_dir)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[] []"

    def test_meaning_across_languages(self, openvino_embedder: OpenVinoEmbedder) -> None:
        passages = openvino_embedder.embed_passages(
            ["护照丢失后应向当地警方报案，并到中国使领馆补办。", "今天的天气晴朗，适合去公园散步。"]
        )
        for question in ("I lost my passport abroad, what now?", "Tôi bị mất hộ chiếu ở nước ngoài"):
            scores = passages @ openvino_embedder.embed_query(question)
            assert scores[0] > scores[1] + 0.02

    def test_question_and_passage_have_their_own_prompts(self, openvino_embedder: OpenVinoEmbedder) -> None:
        query = openvino_embedder.embed_query("电信诈骗")
        passage = openvino_embedder.embed_passages(["电信诈骗"])[0]
        assert 0.8 < query @ passage < 0.999

    def test_a_batch_equals_the_same_texts_one_by_one(self, openvino_embedder: OpenVinoEmbedder) -> None:
        passages = openvino_embedder.embed_passages(MIXED)
        alone = np.concatenate([openvino_embedder.embed_passages([text]) for text in MIXED])
        assert_unit(passages, (len(MIXED), 384))
        assert np.abs(passages - alone).max() <= 1e-3
        queries = openvino_embedder.embed_queries(MIXED)
        alone = np.stack([openvino_embedder.embed_query(text) for text in MIXED])
        assert np.abs(queries - alone).max() <= 1e-3
        # Not vacuous: no two of the texts are as near to each other as that.
        likeness = alone @ alone.T - 2 * np.eye(len(MIXED))
        assert likeness.max() < 0.99

    def test_a_question_is_read_the_same_each_time(self, openvino_embedder: OpenVinoEmbedder) -> None:
        for text in MIXED:
            first, again = openvino_embedder.read_query(text), openvino_embedder.read_query(text)
            assert first.tokens is not None
            assert again.tokens is not None
            np.testing.assert_array_equal(first.vector, openvino_embedder.embed_query(text))
            np.testing.assert_array_equal(first.tokens, again.tokens)
            np.testing.assert_array_equal(first.point, again.point)
            # A row a token, none for the padding.
            n_tokens = len(openvino_embedder._tokenizer.encode("query: " + clean_text(text, 8192)).ids)
            assert len(first.tokens) == n_tokens

    def test_short_questions_are_read_together_as_alone(self, openvino_embedder: OpenVinoEmbedder) -> None:
        tokenizer = openvino_embedder._tokenizer
        ids = [
            tokenizer.encode(f"query: {text}").ids for text in ("12308怎么打", "他们不让我走，护照也被收了", "KK Park")
        ]
        assert max(map(len, ids)) <= SHORT_TOKENS
        for pair in itertools.permutations(ids, N_TOGETHER):
            for found, one in zip(openvino_embedder._infer_tokens(list(pair), SHORT_TOKENS), pair, strict=True):
                alone = openvino_embedder._infer_tokens([one], SHORT_TOKENS)[0]
                np.testing.assert_array_equal(found[0], alone[0])
                np.testing.assert_array_equal(found[1], alone[1])

    def test_padding_does_not_matter(self, openvino_embedder: OpenVinoEmbedder) -> None:
        tokenizer = openvino_embedder._tokenizer
        ids = [encoding.ids for encoding in tokenizer.encode_batch(["query: " + text for text in MIXED])]
        assert max(map(len, ids)) > 400 > 5 > min(map(len, ids)) - 5
        together = to_unit_rows(openvino_embedder._infer(ids))  # the short ones are nearly all padding
        alone = np.stack([openvino_embedder.embed_query(text) for text in MIXED])
        assert np.abs(together - alone).max() <= 1e-3

    def test_order_is_kept_beyond_one_chunk(
        self, openvino_embedder: OpenVinoEmbedder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encoders, "_CHUNK_TEXTS", 4)
        seen: list[tuple[int, int]] = []
        rows = openvino_embedder.embed_passages(MIXED, progress=lambda done, n: seen.append((done, n)))
        for i in (0, 4, 8):
            assert np.abs(rows[i] - openvino_embedder.embed_passages([MIXED[i]])[0]).max() <= 1e-3
        assert seen[-1] == (len(MIXED), len(MIXED))
        assert seen == sorted(seen)

    def test_no_texts(self, openvino_embedder: OpenVinoEmbedder) -> None:
        assert openvino_embedder.embed_passages([]).shape == (0, 384)
        assert openvino_embedder.embed_queries([]).shape == (0, 384)

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    def test_hostile_texts(self, openvino_embedder: OpenVinoEmbedder, text: str) -> None:
        started = time.perf_counter()
        assert_unit(openvino_embedder.embed_query(text), (384,))
        assert_unit(openvino_embedder.embed_passages([text, "当阳", text]), (3, 384))
        assert time.perf_counter() - started < 5.0  # some 0.2 s alone; a megabyte left whole takes longer

    def test_what_the_model_would_not_see_is_not_tokenised(self, openvino_embedder: OpenVinoEmbedder) -> None:
        assert len(openvino_embedder._prepare("query: ", "诈" * 1_000_000)) == len("query: ") + 16 * 512

    def test_text_after_nul_counts(self, openvino_embedder: OpenVinoEmbedder) -> None:
        whole = openvino_embedder.embed_query("电信\0诈骗")
        assert np.array_equal(whole, openvino_embedder.embed_query("电信 诈骗"))
        assert whole @ openvino_embedder.embed_query("电信") < 0.98

    def test_many_clients_at_once_get_their_own_answers(self, openvino_embedder: OpenVinoEmbedder) -> None:
        questions = [f"{text[:60]} {i}" for i, text in enumerate(MIXED * 4)][:32]
        expected = [openvino_embedder.embed_query(question) for question in questions]
        wrong: list[object] = []

        def ask(client: int) -> None:
            try:
                for step in range(12):
                    i = (client * 5 + step) % len(questions)
                    if not np.array_equal(openvino_embedder.embed_query(questions[i]), expected[i]):
                        wrong.append((client, i))
                if client % 4 == 0:
                    rows = openvino_embedder.embed_queries(questions[:6])
                    if np.abs(rows - np.stack(expected[:6])).max() > 1e-3:
                        wrong.append((client, "batch"))
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=ask, args=(client,)) for client in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_several_streams_give_the_same(self, openvino_embedder: OpenVinoEmbedder, model_dir: Path) -> None:
        two = OpenVinoEmbedder(model_dir / "openvino", n_streams=2)
        assert np.abs(two.embed_passages(MIXED) - openvino_embedder.embed_passages(MIXED)).max() <= 1e-3

    @pytest.mark.slow
    def test_it_equals_sentence_transformers(self, openvino_embedder: OpenVinoEmbedder, model_dir: Path) -> None:
        reference = SentenceTransformerEmbedder(model_dir)
        assert (reference.digest, reference.dim) == (openvino_embedder.digest, openvino_embedder.dim)
        texts = MIXED + [text[:500] for text in HOSTILE.values()]
        for ours, theirs in (
            (openvino_embedder.embed_queries(texts), reference.embed_queries(texts)),
            (openvino_embedder.embed_passages(texts), reference.embed_passages(texts)),
        ):
            assert np.sum(ours * theirs, axis=1).min() >= 0.9999


# -- folders, fallback and choice, with a tiny model ---------------------------------------------------------


class TestSentenceTransformer:
    def test_vectors_of_the_fallback(self, tiny_model: Path) -> None:
        embedder: Embedder = SentenceTransformerEmbedder(tiny_model)
        assert (embedder.name, embedder.dim, embedder.backend) == ("tiny", 32, "sentence-transformers")
        texts = [*HOSTILE.values(), "当阳抓人"]
        seen: list[tuple[int, int]] = []
        rows = embedder.embed_passages(texts, progress=lambda done, n: seen.append((done, n)))
        assert_unit(rows, (len(texts), 32))
        assert seen == [(len(texts), len(texts))]
        assert embedder.embed_passages([]).shape == embedder.embed_queries([]).shape == (0, 32)
        query = embedder.embed_query("当阳抓人")
        assert np.abs(query - embedder.embed_queries(texts)[-1]).max() < 1e-5
        assert query @ rows[-1] < 0.999  # other prompt

    def test_no_model_there(self, tmp_path: Path) -> None:
        with pytest.raises(EmbedderError, match=r"no modules\.json.*GUITU_MODEL"):
            SentenceTransformerEmbedder(tmp_path)
        with pytest.raises(EmbedderError, match=r"no model folder '\./none'"):
            SentenceTransformerEmbedder("./none")

    def test_a_hub_that_cannot_be_reached(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub

        def fail(*_: object, **__: object) -> str:
            raise ConnectionError("no route\nsecond line")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        with pytest.raises(EmbedderError, match=r"'some/model' is neither.*\(ConnectionError: no route\)"):
            SentenceTransformerEmbedder("some/model")

    def test_a_damaged_model(self, tiny_model: Path) -> None:
        (tiny_model / "model.safetensors").write_bytes(b"\0" * 100)
        with pytest.raises(EmbedderError, match="cannot load the model in"):
            SentenceTransformerEmbedder(tiny_model)


class TestExport:
    def test_vectors_are_those_of_sentence_transformers(self, tiny_export: Path, tiny_model: Path) -> None:
        ours, theirs = OpenVinoEmbedder(tiny_export), SentenceTransformerEmbedder(tiny_model)
        assert (ours.name, ours.digest, ours.dim) == (theirs.name, theirs.digest, theirs.dim)
        assert (ours.info.query_prompt, ours.info.passage_prompt) == ("query: ", "passage: ")
        assert ours.info.max_tokens == 64
        assert np.sum(ours.embed_queries(MIXED) * theirs.embed_queries(MIXED), axis=1).min() > 0.999
        assert np.sum(ours.embed_passages(MIXED) * theirs.embed_passages(MIXED), axis=1).min() > 0.999

    def test_tokens_are_the_states_two_thirds_of_the_way_up(self, tiny_export: Path, tiny_model: Path) -> None:
        import torch

        model = encoders.load_sentence_transformer(tiny_model)
        tokens = OpenVinoEmbedder(tiny_export).read_query("the police").tokens
        features = model.tokenizer("query: the police", return_tensors="pt")
        with torch.no_grad():
            states = model[0].model(**features, output_hidden_states=True).hidden_states
        expected = states[round((len(states) - 1) * export.TOKENS_AT)][0].numpy()
        assert tokens is not None
        assert tokens.shape == expected.shape
        # The arithmetic may be bfloat16.
        assert np.abs(tokens - expected).max() < 0.05

    @pytest.mark.parametrize("had_one", [False, True])
    def test_a_graph_that_differs_is_refused(
        self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, had_one: bool
    ) -> None:
        target = tiny_model.parent / "export"
        if had_one:
            target.mkdir()
            (target / "old").touch()
        write = export._write

        def write_with_a_wrong_prompt(folder: Path, *others: Any) -> encoders.ExportInfo:
            info = dataclasses.replace(write(folder, *others), query_prompt="the police ")
            info.write(folder)
            return info

        monkeypatch.setattr(export, "_write", write_with_a_wrong_prompt)
        with pytest.raises(EmbedderError, match=r"differs from sentence-transformers: lowest cosine [\d.-]+ on 112"):
            export.export_model(tiny_model, target, name="tiny")
        left = {path.name for path in tiny_model.parent.iterdir()}
        assert left == ({"tiny", "export"} if had_one else {"tiny"})
        if had_one:
            assert [path.name for path in target.iterdir()] == ["old"]

    def test_an_older_export_is_replaced(self, tiny_model: Path) -> None:
        target = tiny_model.parent / "export"
        target.mkdir()
        (target / "old").touch()
        export.export_model(tiny_model, target, name="tiny")
        assert {path.name for path in tiny_model.parent.iterdir()} == {"tiny", "export"}
        names = {path.name for path in target.iterdir()}
        assert names == {"embeddings.npy", "export.json", "model.bin", "model.xml", "tokenizer.json"}

    def test_a_model_that_torch_cannot_export(self, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("data-dependent branching")

        monkeypatch.setattr(torch.export, "export", fail)
        with pytest.raises(EmbedderError, match="cannot be exported: RuntimeError: data-dependent"):
            export.export_model(tiny_model, tiny_model / "openvino", name="tiny")
        assert not (tiny_model / "openvino").exists()

    def test_a_tokenizer_without_special_tokens_has_none_for_an_empty_text(self, tiny_export: Path) -> None:
        embedder = OpenVinoEmbedder(tiny_export)
        assert_unit(to_unit_rows(embedder._infer([[]])), (1, 32))
        assert_unit(to_unit_rows(embedder._infer([[], [5, 6]])), (2, 32))

    def test_it_is_current_until_the_model_changes(self, tiny_export: Path, tiny_model: Path) -> None:
        assert export.is_current(tiny_export, tiny_model)
        digest = model_digest(tiny_model)
        (tiny_model / "README.md").write_text("notes do not matter")
        assert export.is_current(tiny_export, tiny_model)
        config = tiny_model / "config_sentence_transformers.json"
        config.touch()  # a new time alone: the contents are compared
        assert export.is_current(tiny_export, tiny_model)
        config.write_text(config.read_text().replace("query: ", "question: "))
        assert not export.is_current(tiny_export, tiny_model)
        assert model_digest(tiny_model) != digest

    def test_an_export_alone_is_current(self, tiny_export: Path, tmp_path: Path) -> None:
        assert export.is_current(tiny_export, tmp_path / "gone")
        assert not export.is_current(tmp_path / "gone", tmp_path / "gone")

    @pytest.mark.parametrize("file", ["embeddings.npy", "model.bin", "model.xml", "tokenizer.json", "export.json"])
    @pytest.mark.parametrize("damage", ["cut", "missing"])
    def test_damage_is_refused_with_the_remedy(self, tiny_export: Path, file: str, damage: str) -> None:
        path = tiny_export / file
        if damage == "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            path.unlink()
        with pytest.raises(EmbedderError, match=r"made anew|guitu index"):
            OpenVinoEmbedder(tiny_export)

    def test_another_format_is_refused(self, tiny_export: Path) -> None:
        path = tiny_export / "export.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 999}))
        with pytest.raises(EmbedderError, match=f"format 999, not {EXPORT_FORMAT}"):
            OpenVinoEmbedder(tiny_export)


class TestLoadEmbedder:
    @pytest.fixture
    def exported_names(self, tiny_original: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Names exported so far; exporting copies a finished export, which is quicker."""
        names: list[str] = []

        def copy(source: Path, target: Path, *, name: str, progress: object) -> None:
            names.append(name)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(tiny_original / "openvino", target)

        monkeypatch.setattr(embed, "export_model", copy)
        return names

    def test_a_configured_folder_is_exported_once(self, tiny_model: Path, tmp_path: Path) -> None:
        lines: list[str] = []
        first = load_embedder(str(tiny_model), tmp_path / "data", progress=lines.append)
        assert (first.name, first.backend, first.backend_reason) == ("tiny", "openvino", "exported just now")
        assert len(lines) == 4
        assert not (tiny_model / "openvino").exists()  # other people's folders are left alone
        second = load_embedder(str(tiny_model), tmp_path / "data", progress=lines.append)
        assert (second.digest, second.backend_reason) == (first.digest, "exported model found")
        assert len(lines) == 4

    def test_folders_of_the_same_name_do_not_share_an_export(
        self, tiny_model: Path, tmp_path: Path, exported_names: list[str]
    ) -> None:
        other = tmp_path / "elsewhere" / "tiny"
        shutil.copytree(tiny_model, other)
        for folder in (tiny_model, other):
            load_embedder(str(folder), tmp_path / "data")
        assert len(list((tmp_path / "data" / "models").iterdir())) == 2
        assert exported_names == ["tiny", "tiny"]

    def test_a_damaged_export_is_made_anew(self, tiny_model: Path, tmp_path: Path, exported_names: list[str]) -> None:
        load_embedder(str(tiny_model), tmp_path / "data")
        (graph,) = (tmp_path / "data" / "models").glob("*/openvino/model.bin")
        graph.write_bytes(b"")
        assert load_embedder(str(tiny_model), tmp_path / "data").backend == "openvino"
        assert graph.stat().st_size > 1000
        assert exported_names == ["tiny", "tiny"]

    def test_without_openvino_sentence_transformers_serves(
        self, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported_names: list[str]
    ) -> None:
        exported = load_embedder(str(tiny_model), tmp_path / "data")
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(embed, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
        fallback = load_embedder(str(tiny_model), tmp_path / "data")
        assert (fallback.backend, fallback.backend_reason) == (
            "sentence-transformers",
            "openvino not installed",
        )
        assert (fallback.name, fallback.digest, fallback.dim) == (
            exported.name,
            exported.digest,
            exported.dim,
        )

    def test_a_model_that_cannot_be_exported_is_served_all_the_same(
        self, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(export, "MIN_COSINE", 1.5)
        fallback = load_embedder(str(tiny_model), tmp_path / "data")
        assert fallback.backend == "sentence-transformers"
        assert "OpenVINO cannot serve this model: the exported form of 'tiny' differs" in fallback.backend_reason
        assert_unit(fallback.embed_query("当阳"), (32,))

    def test_the_default_model_is_built_when_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_carrier: object
    ) -> None:
        from retrieval import carrier

        monkeypatch.setattr(carrier, "read_carrier", lambda path: tiny_carrier)
        lines: list[str] = []
        embedder = load_embedder("", tmp_path, progress=lines.append)
        assert (embedder.name, embedder.backend, embedder.dim) == ("multilingual-e5-small", "openvino", 32)
        assert len(lines) == 8
        assert (tmp_path / "models" / "multilingual-e5-small" / "openvino" / "model.xml").is_file()
        # The export alone serves, so that weights need not be shipped.
        for path in (tmp_path / "models" / "multilingual-e5-small").iterdir():
            if path.is_file():
                path.unlink()
        assert load_embedder(None, tmp_path, progress=lines.append).digest == embedder.digest
        assert len(lines) == 8

    def test_neither_backend(self, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embed, "find_spec", lambda name: None)
        monkeypatch.setitem(sys.modules, "sentence_transformers", None)
        with pytest.raises(EmbedderError, match=r"neither OpenVINO .* can serve model 'tiny'; install"):
            load_embedder(str(tiny_model), tmp_path / "data")


@pytest.mark.parametrize("make", [HashEmbedder, lambda: HashEmbedder(32)])
def test_the_stand_in_is_an_embedder(make: Callable[[], Embedder]) -> None:
    embedder = make()
    assert embedder.embed_passages([]).shape == (0, embedder.dim)
    assert embedder.name
    assert embedder.backend_reason
