"""Text in, unit vectors out: the `Embedder` protocol and what implements it.

Importing this module loads numpy alone; each implementation imports its library when one is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import unicodedata
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval.coverage import COVERAGE_FILE, Coverage
from retrieval.errors import EmbedderError
from retrieval.learned_file import PROBE_TEXT
from retrieval.padding import SHORT_TOKENS, padded_length
from retrieval.question_space import SPACE_FILE, QuestionSpace, features_of
from retrieval.reranker import RERANKER_FILE, Keys, Reranker
from retrieval.types import Reading
from retrieval.vectors import to_unit_rows
from retrieval.verifier import VERIFIER_FILE, Changes, UpperLayers, Verifier

Embeddings = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called with the number of texts done and the number of all."""

MAX_CHARS_PER_TOKEN = 16
"""Text beyond `max_tokens` times this is cut before it is tokenised: the longest piece of XLM-R has 16
characters, so that the model would not see the rest anyway, while tokenising a megabyte takes a second."""

EXPORT_FORMAT = 4
EXPORT_METADATA = "export.json"
EMBEDDINGS_FILE = "embeddings.npy"

N_TOGETHER = 2
"""So many short questions are read together when several wait. In fixed shapes each gives the same numbers, to the bit, as alone.
With 16 clients two cores then spend 20.9 ms on a question in place of 25.6; four, padded where fewer wait, gained nothing."""
_YOUR_TURN = object()
_BATCH_TOKENS = 1024  # padding included; larger batches were no faster and held more memory
_CHUNK_TEXTS = 512  # tokenised and sorted together
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")
_SPACES = re.compile(r"\s+")


class _OfModel(Protocol):
    def fits(self, reading: Reading) -> bool:
        """Whether it was learned with the model that made `reading` of `PROBE_TEXT`."""


_Learned = TypeVar("_Learned", bound=_OfModel)


class Embedder(Protocol):
    """Turns texts into vectors whose inner product is their likeness.

    All vectors are float32 of unit length. No text makes a method raise: not an empty one, one of a megabyte,
    nor one with NUL or unpaired surrogates. Methods may be called from several threads.
    """

    @property
    def name(self) -> str:
        """The model, as a person would name it."""

    @property
    def digest(self) -> str:
        """Same for models that give the same vectors, whatever the backend; hexadecimal."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def backend(self) -> str:
        """What computes: "openvino", "sentence-transformers" or "hash"."""

    @property
    def backend_reason(self) -> str:
        """Why this backend and no other, in one line."""

    def read_query(self, text: str) -> Reading:
        """A question's vector and its tokens; the same text always gives the same."""

    def embed_query(self, text: str) -> Embeddings:
        """(dim,) vector of a question: that of `read_query`."""

    @property
    def question_space(self) -> str:
        """Same for embedders of one `digest` whose points can be compared; hexadecimal, or "" where points are vectors."""

    def embed_queries(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """(n, dim), a row per question; row i equals `embed_query(texts[i])` to 1e-3 in each component."""

    def place_questions(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """(n, d), a row per question: the `point` of `read_query(texts[i])`, to 1e-2 in each component."""

    def embed_passages(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """(n, dim), a row per passage, in order; a row does not depend on the other texts but to 1e-3."""

    @property
    def reranker(self) -> Reranker | None:
        """What reads a question's tokens beside those of sentences; None where the model tells no tokens."""

    @property
    def verifier(self) -> Verifier | None:
        """What reads a question and a sentence once more; None where nothing was learned for the model."""

    @property
    def coverage(self) -> Coverage | None:
        """What tells whether our own articles answer a question; None where nothing was learned for the model."""

    def read_sentences(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> tuple[Embeddings, list[Keys] | None]:
        """What `embed_passages` gives, and the keys of each text for the `reranker` (None without one)."""


# -- text ----------------------------------------------------------------------------------------------------


def clean_text(text: str, max_chars: int) -> str:
    """Text that any tokeniser can take.

    NUL and surrogates become U+FFFD (which NMT normalisation reads as a space), runs of white space become
    one space, and what is beyond `max_chars` code points is cut.
    """
    # The first slice bounds the work on huge texts; four times, for one that is mostly white space.
    head = text[: 4 * max_chars]
    return _SPACES.sub(" ", _UNREADABLE.sub("\ufffd", head)).strip()[:max_chars]


# -- model folders -------------------------------------------------------------------------------------------


def model_files(folder: Path) -> list[tuple[str, Path]]:
    """Files of a model folder that decide its vectors, as (posix path inside it, path), sorted.

    Left out: notes, exports to other runtimes, hidden files, and further copies of the weights.
    """
    skipped_folders = {"onnx", "openvino"}
    skipped_suffixes = {".md", ".onnx", ".h5", ".msgpack", ".ot", ".png", ".jpg"}
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") or part in skipped_folders for part in inside.parts):
            continue
        if path.suffix not in skipped_suffixes:
            found.append((inside.as_posix(), path))
    if any(path.suffix == ".safetensors" for _, path in found):
        found = [(inside, path) for inside, path in found if path.suffix not in {".bin", ".pt", ".pth"}]
    return found


def model_digest(folder: Path) -> str:
    """SHA-256 over names and contents of `model_files`: weights, tokenizer, prompts, pooling. Hexadecimal.

    Raises:
        EmbedderError: there are no such files, or one cannot be read.
    """
    files = model_files(folder)
    if not files:
        raise EmbedderError(f"model folder '{folder}' has no model files; set GUITU_MODEL to one that has")
    digest = hashlib.sha256()
    try:
        for inside, path in files:
            with path.open("rb") as file:
                digest.update(f"{inside}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    except OSError as error:
        raise EmbedderError(f"cannot read model file '{path}': {error.strerror}") from error
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """What `OpenVinoEmbedder` must know of a graph; kept in ``export.json`` beside it.

    Attributes:
        name: of the model.
        source_digest: `model_digest` of the folder it was made from.
        source_files: (path inside it, bytes, mtime in ns), to see without reading whether they are the same.
        dim: length of a vector.
        max_tokens: longer texts are cut there, special tokens included.
        query_prompt, passage_prompt: put before the text.
        openvino_version: that made the graph.
        n_checked: texts whose vectors were compared with sentence-transformers.
        min_cosine: the lowest likeness among them.
    """

    name: str
    source_digest: str
    source_files: tuple[tuple[str, int, int], ...]
    dim: int
    max_tokens: int
    query_prompt: str
    passage_prompt: str
    openvino_version: str
    n_checked: int
    min_cosine: float

    def write(self, folder: Path) -> None:
        """Write ``export.json``."""
        content = {"format": EXPORT_FORMAT, **asdict(self)}
        (folder / EXPORT_METADATA).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ExportInfo:
        """Read ``export.json``.

        Raises:
            EmbedderError: missing, not JSON, or of another format.
        """
        path = folder / EXPORT_METADATA
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != EXPORT_FORMAT:
                raise ValueError(f"format {content['format']}, not {EXPORT_FORMAT}")
            values = {field.name: content[field.name] for field in fields(cls)}
            values["source_files"] = tuple((str(n), int(s), int(t)) for n, s, t in values["source_files"])
            return cls(**values)
        except FileNotFoundError as error:
            raise EmbedderError(f"no exported model in '{folder}'; run `guitu index build` to make it") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EmbedderError(f"cannot read '{path}' ({error}); delete '{folder}' to have it made anew") from error


# -- implementations -----------------------------------------------------------------------------------------


class OpenVinoEmbedder:
    """Computes with OpenVINO on the processor, from a folder that `retrieval.export` has written.

    bfloat16 is used where the processor has it: about 1.5 times as fast as float32, cosine to it 0.99999. A
    row of a batch then differs from the same text alone by up to 6e-4 in a component, so a question is read alone or,
    where it is short, in a shape of its own for two, which gives the same: the same question gives the same vector,
    whatever else is being asked.
    """

    backend = "openvino"

    def __init__(
        self, folder: Path, *, backend_reason: str = "exported model found", n_streams: int | None = None
    ) -> None:
        """Load the graph and the tokenizer (about a second).

        Args:
            folder: has ``export.json``, ``model.xml``, ``model.bin``, ``embeddings.npy``, ``tokenizer.json`` and, where the
                verifier can read with the model, ``upper-layers.npz``.
            backend_reason: told to whoever asks.
            n_streams: inferences that may run at once; by default one per two cores, which keeps a single
                question quick (4.5 ms against 6.3 ms with one per core) at some cost in questions a second.
        Raises:
            EmbedderError: the folder is missing, damaged or not for this version.
            ImportError: openvino or tokenizers is not installed.
        """
        import openvino
        from tokenizers import Tokenizer

        self.folder = folder
        self.info = ExportInfo.read(folder)
        self.backend_reason = backend_reason
        n_streams = n_streams or max(1, available_cores() // 2)
        try:
            core = openvino.Core()
            self.precision = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
            graph = core.read_model(str(folder / "model.xml"))
            # Read from disk as words need it.
            self._table = np.load(folder / EMBEDDINGS_FILE, mmap_mode="r", allow_pickle=False).view(np.ndarray)
            graphs = [graph]
            for n in range(1, N_TOGETHER + 1):
                graphs.append(short := graph.clone())
                shape = [n, SHORT_TOKENS]
                short.reshape({"embeddings": [*shape, self._table.shape[1]], "attention_mask": shape})
            settings = {
                "INFERENCE_PRECISION_HINT": self.precision,
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": str(n_streams),
            }
            compiled = [core.compile_model(made, "CPU", settings) for made in graphs]
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # both libraries raise bare exceptions of many kinds
            raise EmbedderError(
                f"cannot load the exported model in '{folder}' ({_first_line(error)}); delete it to have it made anew"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.info.max_tokens)
        self._max_chars = self.info.max_tokens * MAX_CHARS_PER_TOKEN
        self._n_streams = n_streams
        self._space: QuestionSpace | None = None
        # An infer request serves one thread at a time: one for any length, one for a short question and one for two.
        self._requests = FairPool([made.create_infer_request() for made in compiled] for _ in range(n_streams))
        self._short = Together(lambda ids: self._infer_tokens(ids, SHORT_TOKENS), most=N_TOGETHER, n_at_once=n_streams)
        probe = self.read_query(PROBE_TEXT)
        self._space = _learned(SPACE_FILE, QuestionSpace.load, probe)
        self.reranker: Reranker | None = _learned(RERANKER_FILE, Reranker.load, probe)
        self.coverage: Coverage | None = _learned(COVERAGE_FILE, Coverage.load, probe)
        changes = _learned(VERIFIER_FILE, Changes.load, probe)
        layers = None if changes is None else UpperLayers.load(folder)
        self.verifier = None if changes is None or layers is None else Verifier(layers, changes, core, settings)

    @property
    def name(self) -> str:
        """See `Embedder`."""
        return self.info.name

    @property
    def digest(self) -> str:
        """See `Embedder`."""
        return self.info.source_digest

    @property
    def dim(self) -> int:
        """See `Embedder`."""
        return self.info.dim

    def read_query(self, text: str) -> Reading:
        """See `Embedder`."""
        ids = self._tokenizer.encode(self._prepare(self.info.query_prompt, text)).ids
        if len(ids) <= SHORT_TOKENS:
            vector, tokens = self._short.get(ids)
        else:
            vector, tokens = self._infer_tokens([ids], padded_length(len(ids)))[0]
        vector = to_unit_rows(vector[None])[0]
        if self._space is None or not len(tokens):
            return Reading(vector, tokens, vector)
        point = self._space.points(features_of(vector[None], tokens.mean(axis=0)[None]))
        return Reading(vector, tokens, to_unit_rows(point)[0])

    def embed_query(self, text: str) -> Embeddings:
        """See `Embedder`."""
        return self.read_query(text).vector

    @property
    def question_space(self) -> str:
        """See `Embedder`."""
        return "" if self._space is None else self._space.digest

    def embed_queries(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        return self._embed(self.info.query_prompt, texts, progress)

    def place_questions(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        if self._space is None:
            return self.embed_queries(texts, progress=progress)
        return self._embed(
            self.info.query_prompt, texts, progress, infer=self._infer_points, width=self._space.n_directions
        )

    def embed_passages(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        return self._embed(self.info.passage_prompt, texts, progress)

    def read_sentences(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> tuple[Embeddings, list[Keys] | None]:
        """See `Embedder`."""
        if self.reranker is None:
            return self.embed_passages(texts, progress=progress), None
        vectors = np.empty((len(texts), self.dim), np.float32)
        keys: list[Keys] = [np.empty((0, 0), np.int8)] * len(texts)
        for row, vector, tokens in self.passage_tokens(texts, progress=progress):
            vectors[row], keys[row] = vector, self.reranker.keys(tokens)
        return to_unit_rows(vectors), keys

    def passage_tokens(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> Iterator[tuple[int, Embeddings, Embeddings]]:
        """The row of each text, its vector (dim,) and its tokens (n, width); those of like length come together."""
        for row, (vector, tokens) in self._read(self.info.passage_prompt, texts, progress, self._infer_tokens):
            yield row, vector, tokens

    def _embed(
        self,
        prompt: str,
        texts: Sequence[str],
        progress: Progress | None,
        *,
        infer: Callable[[list[list[int]]], Embeddings] | None = None,
        width: int | None = None,
    ) -> Embeddings:
        """(n, width) for n texts, what `infer` makes of their token ids; by default their vectors."""
        embeddings = np.empty((len(texts), width or self.dim), np.float32)
        for row, found in self._read(prompt, texts, progress, infer or self._infer):
            embeddings[row] = found
        return to_unit_rows(embeddings)

    def _read(
        self,
        prompt: str,
        texts: Sequence[str],
        progress: Progress | None,
        infer: Callable[[list[list[int]]], Iterable[Any]],
    ) -> Iterator[tuple[int, Any]]:
        """The row of each text with what `infer` makes of its token ids, those of like length together."""
        done = 0
        with ThreadPoolExecutor(self._n_streams) as pool:
            for start in range(0, len(texts), _CHUNK_TEXTS):
                prepared = [self._prepare(prompt, text) for text in texts[start : start + _CHUNK_TEXTS]]
                ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(prepared)]
                batches = list(batches_by_length([len(row) for row in ids], _BATCH_TOKENS))
                inputs = ([ids[i] for i in batch] for batch in batches)
                for batch, found in zip(batches, pool.map(infer, inputs), strict=True):
                    yield from zip((start + i for i in batch), found, strict=True)
                    done += len(batch)
                    if progress:
                        progress(done, len(texts))

    def _prepare(self, prompt: str, text: str) -> str:
        return prompt + clean_text(text, self._max_chars)

    def _infer(self, ids: list[list[int]]) -> Embeddings:
        """(n, dim) for n token id lists, padded to the longest of them."""
        with self._inferred(ids, max(map(len, ids))) as (vectors, _):
            return np.array(vectors, np.float32)

    def _infer_points(self, ids: list[list[int]]) -> Embeddings:
        """(n, d) for n token id lists: where the questions lie."""
        assert self._space is not None
        with self._inferred(ids, max(map(len, ids))) as (vectors, states):
            means = [states[row, : len(tokens)].mean(axis=0) for row, tokens in enumerate(ids)]
            return self._space.points(features_of(to_unit_rows(vectors), np.stack(means).astype(np.float32)))

    def _infer_tokens(self, ids: list[list[int]], width: int | None = None) -> list[tuple[Embeddings, Embeddings]]:
        """The vector (dim,) and the tokens (n, width) of each of the token id lists, padded to `width` or to the longest."""
        with self._inferred(ids, width or max(map(len, ids))) as (vectors, states):
            return [
                (np.array(vectors[row], np.float32), np.array(states[row, : len(found)], np.float32))
                for row, found in enumerate(ids)
            ]

    @contextmanager
    def _inferred(self, ids: list[list[int]], width: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """(n, dim) and (n, width, dim) for n token id lists padded to `width`; gone when the block ends."""
        embeddings = np.zeros((len(ids), width, self._table.shape[1]), np.float32)
        mask = np.zeros((len(ids), width), np.int64)
        for row, tokens in enumerate(ids):
            embeddings[row, : len(tokens)] = self._table[tokens]
            mask[row, : len(tokens)] = 1
        with self._requests.lend() as (for_any, *for_short):
            request = for_short[len(ids) - 1] if width == SHORT_TOKENS and len(ids) <= N_TOGETHER else for_any
            request.infer({"embeddings": embeddings, "attention_mask": mask}, share_inputs=True)
            yield request.get_output_tensor(0).data, request.get_output_tensor(1).data


def _learned(file: Path, load: Callable[[], _Learned], probe: Reading) -> _Learned | None:
    """What was learned for the model that made `probe` of `PROBE_TEXT`; a file is absent only while it is being learned."""
    found = load() if file.is_file() else None
    return found if found is not None and found.fits(probe) else None


class SentenceTransformerEmbedder:
    """Computes with sentence-transformers: any model it can load, with more memory and a slower start."""

    backend = "sentence-transformers"
    question_space = ""
    reranker = None
    verifier = None
    coverage = None

    def __init__(self, path_or_name: Path | str, *, name: str | None = None, backend_reason: str = "asked for") -> None:
        """Load a model, from a folder or from the hub (`locate_model`).

        Raises:
            EmbedderError: it cannot be found or loaded.
            ImportError: sentence-transformers is not installed.
        """
        folder = locate_model(path_or_name)
        self.name = name or model_name(path_or_name)
        self.backend_reason = backend_reason
        self.digest = model_digest(folder)
        self.model = load_sentence_transformer(folder)
        self.dim = int(self.model.get_embedding_dimension())
        max_tokens = self.model.max_seq_length or 512
        self._max_chars = int(max_tokens) * MAX_CHARS_PER_TOKEN
        self._lock = threading.Lock()  # its tokenizer must not be used by two threads at once

    def read_query(self, text: str) -> Reading:
        """See `Embedder`; without tokens."""
        vector = self._encode(self.model.encode_query, [text])[0]
        return Reading(vector, None, vector)

    def embed_query(self, text: str) -> Embeddings:
        """See `Embedder`."""
        return self.read_query(text).vector

    def embed_queries(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        return self._encode_parts(self.model.encode_query, texts, progress)

    def place_questions(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        return self.embed_queries(texts, progress=progress)

    def embed_passages(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        return self._encode_parts(self.model.encode_document, texts, progress)

    def read_sentences(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> tuple[Embeddings, list[Keys] | None]:
        """See `Embedder`; without keys."""
        return self.embed_passages(texts, progress=progress), None

    def _encode_parts(self, encode: Callable[..., Any], texts: Sequence[str], progress: Progress | None) -> Embeddings:
        parts = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(texts), _CHUNK_TEXTS):
            part = texts[start : start + _CHUNK_TEXTS]
            parts.append(self._encode(encode, part))
            if progress:
                progress(start + len(part), len(texts))
        return np.concatenate(parts)

    def _encode(self, encode: Callable[..., Any], texts: Sequence[str]) -> Embeddings:
        if not texts:
            return np.empty((0, self.dim), np.float32)
        cleaned = [clean_text(text, self._max_chars) for text in texts]
        with self._lock:
            return to_unit_rows(encode(cleaned, batch_size=16, show_progress_bar=False, convert_to_numpy=True))


class HashEmbedder:
    """A stand-in without a model: texts that share characters get similar vectors.

    Character n-grams of one to three (after NFKC and case folding, white space dropped) are hashed to an axis
    and a sign and added up. Same on every machine; knows nothing of meaning.
    """

    backend = "hash"
    question_space = ""
    reranker = None
    verifier = None
    coverage = None
    backend_reason = "made for tests; needs no model"

    def __init__(self, dim: int = 256) -> None:
        self.name = f"hash-{dim}"
        self.digest = hashlib.sha256(f"character n-grams 1-3, crc32, {dim}".encode()).hexdigest()
        self.dim = dim

    def read_query(self, text: str) -> Reading:
        """See `Embedder`; without tokens."""
        vector = self.embed_query(text)
        return Reading(vector, None, vector)

    def embed_query(self, text: str) -> Embeddings:
        """See `Embedder`."""
        vector = np.zeros(self.dim, np.float32)
        cleaned = clean_text(text, 512 * MAX_CHARS_PER_TOKEN)
        folded = _SPACES.sub("", unicodedata.normalize("NFKC", cleaned).casefold())
        for size in (1, 2, 3):
            for start in range(len(folded) - size + 1):
                code = zlib.crc32(folded[start : start + size].encode())
                vector[code % self.dim] += 1.0 if code & 0x8000_0000 else -1.0
        row: Embeddings = to_unit_rows(vector[None])[0]
        return row

    def embed_queries(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        return self.embed_passages(texts, progress=progress)

    def place_questions(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        return self.embed_passages(texts, progress=progress)

    def embed_passages(self, texts: Sequence[str], *, progress: Progress | None = None) -> Embeddings:
        """See `Embedder`."""
        embeddings = np.empty((len(texts), self.dim), np.float32)
        for i, text in enumerate(texts):
            embeddings[i] = self.embed_query(text)
            if progress:
                progress(i + 1, len(texts))
        return embeddings

    def read_sentences(
        self, texts: Sequence[str], *, progress: Progress | None = None
    ) -> tuple[Embeddings, list[Keys] | None]:
        """See `Embedder`; without keys."""
        return self.embed_passages(texts, progress=progress), None


# -- helpers -------------------------------------------------------------------------------------------------


class FairPool:
    """Things that one thread at a time may use, lent in the order asked for.

    A plain queue lets a thread that has just given back take again before those that wait. With 16 threads
    asking without pause, the slowest twentieth then took 300 ms against 120 ms here, for a tenth more in all.
    """

    def __init__(self, things: Iterable[Any]) -> None:
        self._free = list(things)
        self._waiting: deque[SimpleQueue[Any]] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[Any]:
        """One of the things, as soon as it is this thread's turn."""
        turn: SimpleQueue[Any] = SimpleQueue()
        with self._lock:
            if self._free:
                turn.put(self._free.pop())
            else:
                self._waiting.append(turn)
        thing = turn.get()
        try:
            yield thing
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft().put(thing)
                else:
                    self._free.append(thing)


class Together:
    """Serves threads that each ask for one thing: those who come while others are served wait, and are then served together.

    Who finds nobody served is served alone, at once.
    """

    def __init__(self, serve: Callable[[list[Any]], list[Any]], *, most: int, n_at_once: int) -> None:
        """
        Args:
            serve: gives for a list of things what each becomes, in the same order.
            most: so many are served together.
            n_at_once: so many threads may be serving.
        """
        self._serve = serve
        self._most = most
        self._n_free = n_at_once
        self._waiting: deque[tuple[Any, Future[Any]]] = deque()
        self._lock = threading.Lock()

    def get(self, thing: Any) -> Any:
        """What `thing` becomes; raises what `serve` raised for those it was served with."""
        outcome: Future[Any] = Future()
        with self._lock:
            if is_first := self._n_free > 0:
                self._n_free -= 1
            else:
                self._waiting.append((thing, outcome))
        found = _YOUR_TURN if is_first else outcome.result()
        return self._served(thing) if found is _YOUR_TURN else found

    def _served(self, thing: Any) -> Any:
        """Serves `thing` and the first of those who wait, and lets the next one of these go on."""
        with self._lock:
            others = [self._waiting.popleft() for _ in range(min(self._most - 1, len(self._waiting)))]
        try:
            own, *found = self._serve([thing, *(other for other, _ in others)])
        except BaseException as error:
            for _, outcome in others:
                outcome.set_exception(error)
            raise
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft()[1].set_result(_YOUR_TURN)
                else:
                    self._n_free += 1
        for (_, outcome), become in zip(others, found, strict=True):
            outcome.set_result(become)
        return own


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Group positions so that texts of like length share a batch, longest first.

    Longest first, so that memory reaches its peak at once and not at the end of a long run.

    Args:
        lengths: tokens of each text.
        max_tokens: of a batch, padding included; a longer text is a batch of its own.
    Yields:
        Positions, each exactly once.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    start = 0
    while start < len(order):
        size = max(1, max_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def available_cores() -> int:
    """Processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def model_name(path_or_name: Path | str) -> str:
    """A model's name for people: a folder's last part, a hub name as it is."""
    return Path(path_or_name).resolve().name if Path(path_or_name).is_dir() else str(path_or_name)


def locate_model(path_or_name: Path | str) -> Path:
    """The folder of a model: the one given, or what the hub's cache or the hub itself has under that name.

    Raises:
        EmbedderError: no such folder, and the hub cannot be reached or has no such model.
    """
    folder = Path(path_or_name)
    if folder.is_dir():
        if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
            raise EmbedderError(
                f"'{folder}' is no sentence-transformers folder (no modules.json); set GUITU_MODEL to one that is"
            )
        return folder
    name = str(path_or_name)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise EmbedderError(f"no model folder '{name}'; set GUITU_MODEL to a sentence-transformers folder or hub name")
    from huggingface_hub import snapshot_download

    unused = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf"]
    try:
        return Path(snapshot_download(name, ignore_patterns=unused, local_files_only=True))
    except Exception:  # not in the cache, whatever the reason: ask the hub
        pass
    try:
        return Path(snapshot_download(name, ignore_patterns=unused))
    except Exception as error:  # connection, HTTP and repository errors have no common base
        raise EmbedderError(
            f"model '{name}' is neither a folder here nor to be had from the hub ({_first_line(error)}); "
            "set GUITU_MODEL to a sentence-transformers folder, or leave it empty for the default model"
        ) from error


def load_sentence_transformer(folder: Path) -> Any:
    """A SentenceTransformer from a folder, without network or progress bars.

    Raises:
        EmbedderError: it cannot be loaded.
        ImportError: sentence-transformers is not installed.
    """
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(str(folder), local_files_only=True).eval()
    except Exception as error:  # each model class fails in its own way
        raise EmbedderError(f"cannot load the model in '{folder}' ({_first_line(error)}); check the folder") from error


def _first_line(error: Exception) -> str:
    """The error's class and the first line of its message, which may be pages long."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
