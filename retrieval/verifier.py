"""Whether the sentence that was chosen answers the question: read once more, by two layers of the model itself.

To each token of the question is added what it found in the sentence (`Reranker.findings`). Two layers of the embedding
model, those above the one whose tokens are read, then let the tokens speak with each other, and say whether anything is
left open. The layers come with the exported model; what `python -m bot.train_verifier` learned are changes of low rank to
them. A second look after the search: Hu et al., Read + Verify, AAAI 2019; changes of low rank: Hu et al., LoRA, ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EmbedderError
from retrieval.learned_file import Shapes, is_of_model, read_learned
from retrieval.padding import padded_length
from retrieval.types import Reading

VERIFIER_FILE = Path(__file__).parent / "verifier.txt"
UPPER_LAYERS_FILE = "upper-layers.npz"
N_LAYERS = 2
# The linear maps and the normalisations of a layer, by the names that BERT and its kin give them.
MAPS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "joined": "attention.output.dense",
    "widened": "intermediate.dense",
    "narrowed": "output.dense",
}
NORMS = {"attended": "attention.output.LayerNorm", "passed": "output.LayerNorm"}
NORM_EPSILON = 1e-12

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class UpperLayers:
    """Layers of a model above those whose tokens are read.

    `arrays` has, for each layer n, `{n}.{map}.weight` (o, i) and `{n}.{map}.bias` (o,) for `MAPS`, and the same with
    (width,) for `NORMS`.
    """

    n_heads: int
    arrays: Mapping[str, Array]

    @classmethod
    def of_model(cls, transformer: Any, first: int) -> UpperLayers | None:
        """The `N_LAYERS` layers of a transformers model from the one numbered `first` on; None if it is not BERT-like."""
        state = {name: tensor for name, tensor in transformer.state_dict().items() if "encoder.layer." in name}
        found: dict[str, Array] = {}
        for layer in range(N_LAYERS):
            for name, theirs in (*MAPS.items(), *NORMS.items()):
                for kind in ("weight", "bias"):
                    tensor = state.get(f"encoder.layer.{first + layer}.{theirs}.{kind}")
                    if tensor is None:
                        return None
                    found[f"{layer}.{name}.{kind}"] = tensor.detach().float().numpy()
        return cls(int(transformer.config.num_attention_heads), found)

    def save(self, folder: Path) -> None:
        """Writes `UPPER_LAYERS_FILE`, in half the precision."""
        halves: dict[str, Any] = {name: array.astype(np.float16) for name, array in self.arrays.items()}
        np.savez(folder / UPPER_LAYERS_FILE, n_heads=self.n_heads, **halves)

    @classmethod
    def load(cls, folder: Path) -> UpperLayers | None:
        """What `save` wrote; None where the model has no such layers.

        Raises:
            EmbedderError: the file is damaged.
        """
        path = folder / UPPER_LAYERS_FILE
        if not path.is_file():
            return None
        try:
            # Opened here, as numpy leaves a file open that is no archive.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name].astype(np.float32) for name in stored.files if name != "n_heads"}
                return cls(int(stored["n_heads"]), arrays)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise EmbedderError(f"cannot read '{path}' ({error}); delete '{folder}' to have it made anew") from error


@dataclass(frozen=True, slots=True)
class Changes:
    """What was learned, for tokens (width,), findings (f,), w inner numbers and changes of the rank r.

    Attributes:
        probe: (dim,) vector of `learned_file.PROBE_TEXT` by the model that it belongs to.
        take, take_bias, give, give_bias: (w, f), (w,), (width, w), (width,): make of findings what a token gains.
        layers: for each layer and each of `MAPS` down (r, i), up (o, r) and shift (o,), then for each of `NORMS` weight
            and bias (width,), which stand in place of the model's own.
        verdict: (2 * width,), of the first token and of the mean of all.
        ends: (2,): the share of the reranker's log odds, and what is added.
    """

    probe: Array
    take: Array
    take_bias: Array
    give: Array
    give_bias: Array
    layers: Sequence[Array]
    verdict: Array
    ends: Array

    @staticmethod
    def shapes(dim: int, width: int, wide: int, findings: int, inner: int, rank: int) -> Shapes:
        """The shapes of the arrays, in the order of the attributes; `wide` is the width within a layer."""
        sizes = {"widened": (wide, width), "narrowed": (width, wide)}
        layer: list[tuple[int, ...]] = []
        for name in MAPS:
            outer, within = sizes.get(name, (width, width))
            layer += [(rank, within), (outer, rank), (outer,)]
        layer += [(width,)] * 2 * len(NORMS)
        gain = ((inner, findings), (inner,), (width, inner), (width,))
        return (dim,), *gain, *layer * N_LAYERS, (2 * width,), (2,)

    @classmethod
    def load(cls, path: Path = VERIFIER_FILE) -> Changes:
        """Those in the file `path`: a line of sizes, then whole numbers.

        Raises:
            LearnedFileError: the file cannot be read.
        """
        arrays, _ = read_learned(path, cls.shapes, what="verifier", command="python -m bot.train_verifier var")
        probe, take, take_bias, give, give_bias, *layers, verdict, ends = arrays
        return cls(probe, take, take_bias, give, give_bias, layers, verdict, ends)

    def fits(self, reading: Reading) -> bool:
        """Whether they were learned with the model that made `reading` of `learned_file.PROBE_TEXT`."""
        return is_of_model(reading, self.probe, len(self.give_bias))


class Verifier:
    """Reads a question and the findings of a sentence with changed layers. May be called from several threads."""

    def __init__(self, layers: UpperLayers, changes: Changes, core: Any, settings: Mapping[str, str]) -> None:
        """Compiles the layers.

        Args:
            core, settings: the OpenVINO core and how to compile.
        """
        self._compiled = core.compile_model(_graph(layers, changes), "CPU", dict(settings))
        self._share, self._added = (float(end) for end in changes.ends)

    def log_odds(self, tokens: Array, findings: Array, score: float) -> float:
        """That the sentence answers.

        Args:
            tokens: (n, width) of the question, n > 0.
            findings: (m, f), what its last m tokens found in the sentence (`Reranker.findings`).
            score: the log odds that the reranker gives.
        """
        n = len(findings)
        length = padded_length(n)
        padded = np.zeros((1, length, tokens.shape[1]), np.float32)
        found = np.zeros((1, length, findings.shape[1]), np.float32)
        mask = np.zeros((1, length), np.float32)
        padded[0, :n], found[0, :n], mask[0, :n] = tokens[-n:], findings, 1
        verdict = self._compiled.create_infer_request().infer([padded, found, mask])[0]
        return float(verdict[0]) + self._share * score + self._added


def _graph(layers: UpperLayers, changes: Changes) -> Any:
    """From tokens (1, n, width), findings (1, n, f) and a mask (1, n) to the verdict (1,)."""
    import openvino
    from openvino import opset13 as ops

    width = len(changes.give_bias)
    n_heads, share = layers.n_heads, width // layers.n_heads
    tokens = ops.parameter([1, -1, width], np.float32, name="tokens")
    findings = ops.parameter([1, -1, changes.take.shape[1]], np.float32, name="findings")
    mask = ops.parameter([1, -1], np.float32, name="mask")

    def constant(array: Any) -> Any:
        return ops.constant(np.ascontiguousarray(array))

    def linear(x: Any, weight: Array, bias: Array) -> Any:
        return ops.add(ops.matmul(x, constant(weight), False, True), constant(bias))

    def normed(x: Any, weight: Array, bias: Array) -> Any:
        even = ops.mvn(x, constant(np.array([2])), True, NORM_EPSILON, "inside_sqrt")
        return ops.add(ops.multiply(even, constant(weight)), constant(bias))

    def split(x: Any) -> Any:
        """(1, heads, n, share)."""
        parts = ops.reshape(x, constant(np.array([0, 0, n_heads, share])), True)
        return ops.transpose(parts, constant(np.array([0, 2, 1, 3])))

    # What is padding gets no attention.
    closed = ops.multiply(ops.subtract(mask, constant(np.float32(1))), constant(np.float32(1e4)))
    closed = ops.unsqueeze(closed, constant(np.array([1, 2])))
    inner = ops.gelu(linear(findings, changes.take, changes.take_bias), "tanh")
    x = ops.add(tokens, linear(inner, changes.give, changes.give_bias))
    learned = iter(changes.layers)
    for n in range(N_LAYERS):
        maps = {}
        for name in MAPS:
            down, up, shift = next(learned), next(learned), next(learned)
            weight, bias = (layers.arrays[f"{n}.{name}.{kind}"] for kind in ("weight", "bias"))
            maps[name] = weight + up @ down, bias + shift
        norms = {name: (next(learned), next(learned)) for name in NORMS}
        query, key, value = (split(linear(x, *maps[name])) for name in ("query", "key", "value"))
        likeness = ops.multiply(ops.matmul(query, key, False, True), constant(np.float32(share**-0.5)))
        seen = ops.matmul(ops.softmax(ops.add(likeness, closed), -1), value, False, False)
        seen = ops.transpose(seen, constant(np.array([0, 2, 1, 3])))
        seen = ops.reshape(seen, constant(np.array([0, 0, width])), True)
        x = normed(ops.add(x, linear(seen, *maps["joined"])), *norms["attended"])
        passed = linear(ops.gelu(linear(x, *maps["widened"]), "tanh"), *maps["narrowed"])
        x = normed(ops.add(x, passed), *norms["passed"])
    axis = constant(np.array([1]))
    shares = ops.divide(mask, ops.reduce_sum(mask, axis, True))
    mean = ops.reduce_sum(ops.multiply(x, ops.unsqueeze(shares, constant(np.array([2])))), axis, False)
    first = ops.squeeze(ops.slice(x, *(constant(np.array([k])) for k in (0, 1, 1, 1))), axis)
    verdict = ops.matmul(ops.concat([first, mean], 1), constant(changes.verdict[:, None]), False, False)
    return openvino.Model([ops.squeeze(verdict, axis)], [tokens, findings, mask])
