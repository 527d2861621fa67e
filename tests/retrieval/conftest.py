"""The embedding model for the tests that need it, built once and kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval import carrier
from retrieval.embed import OpenVinoEmbedder
from retrieval.export import export_model

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def model_data_dir() -> Path:
    """A data folder that has the default model, built and exported."""
    data_dir = Path(os.environ.get("GUITU_TEST_DATA") or REPOSITORY / "var" / "test-data")
    # In a process of its own: the export imports torch and takes 2 GB, neither of which the tests want.
    code = (
        "import sys; from pathlib import Path; from retrieval.embed import load_embedder; "
        "load_embedder(None, Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(data_dir)], cwd=REPOSITORY, check=True)
    return data_dir


@pytest.fixture(scope="session")
def model_dir(model_data_dir: Path) -> Path:
    """The default model as a sentence-transformers folder."""
    return model_data_dir / "models" / carrier.MODEL_NAME


@pytest.fixture(scope="session")
def openvino_embedder(model_dir: Path) -> OpenVinoEmbedder:
    """The default model as it serves."""
    return OpenVinoEmbedder(model_dir / "openvino")


@pytest.fixture(scope="session")
def tiny_carrier() -> carrier.Carrier:
    """A carrier of a model with one layer, 32 wide, random, whose vocabulary is some characters and words."""
    rng = np.random.default_rng(0)
    words = ["\u2581", "\u2581que", "ry", ":", "\u2581pas", "sage", "\u2581the", "\u2581police"]
    letters = [chr(code) for code in range(97, 123)] + list("首次在当阳抓了多少人缅北园区电信诈骗报警")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(piece, 0.0) for piece in special]
    pieces += [(piece, -float(i + 1) / 10) for i, piece in enumerate(dict.fromkeys(words + letters))]
    pieces.append(("<mask>", 0.0))
    header = carrier.CarrierHeader(32, 1, 2, 64, len(pieces), 64, 2, 1e-12)

    def random(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0.0, 0.5, int(np.prod(shape))).astype(np.float32)

    tensors = {"emb.word": random(len(pieces), 32), "emb.pos": random(64, 32), "emb.type": random(2, 32)}
    shapes = {"q": (32, 32), "k": (32, 32), "v": (32, 32), "ao": (32, 32), "fi": (64, 32), "fo": (32, 64)}
    for name, shape in shapes.items():
        tensors[f"l0.{name}.w"] = random(*shape)
        tensors[f"l0.{name}.b"] = random(shape[0])
    for name in ("emb.ln", "l0.aln", "l0.oln"):
        tensors[f"{name}.w"] = np.ones(32, np.float32)
        tensors[f"{name}.b"] = random(32)
    return carrier.Carrier(header, tuple(pieces), {}, tensors)


@pytest.fixture(scope="session")
def tiny_original(tiny_carrier: carrier.Carrier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny carrier as a sentence-transformers folder, to be copied; its export is in ``openvino``."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carrier, "read_carrier", lambda path: tiny_carrier)
        carrier.build_model(folder)
    export_model(folder, folder / "openvino", name="tiny")
    return folder


@pytest.fixture
def tiny_model(tiny_original: Path, tmp_path: Path) -> Path:
    """A tiny model folder, not exported, to do with as one likes."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_original, folder, ignore=shutil.ignore_patterns("openvino"))
    return folder


@pytest.fixture
def tiny_export(tiny_original: Path, tiny_model: Path) -> Path:
    """The export of the tiny model, to do with as one likes."""
    return Path(shutil.copytree(tiny_original / "openvino", tiny_model / "openvino"))
