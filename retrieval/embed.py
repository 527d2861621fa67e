"""Chooses and loads the embedding model; the door to everything that turns text into vectors."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from retrieval.carrier import MODEL_NAME, build_model
from retrieval.encoders import (
    Embedder,
    Embeddings,
    HashEmbedder,
    OpenVinoEmbedder,
    Progress,
    SentenceTransformerEmbedder,
    locate_model,
    model_name,
)
from retrieval.errors import EmbedderError, LearnedFileError
from retrieval.export import export_model, is_current

__all__ = [
    "Embedder",
    "Embeddings",
    "HashEmbedder",
    "OpenVinoEmbedder",
    "Progress",
    "SentenceTransformerEmbedder",
    "load_embedder",
]

logger = logging.getLogger(__name__)


def load_embedder(model: str | None, data_dir: Path, *, progress: Callable[[str], None] | None = None) -> Embedder:
    """Load the configured model, building and exporting what is missing under ``<data_dir>/models``.

    OpenVINO serves where it is installed and the model can be exported, else sentence-transformers; `backend`
    and `backend_reason` of the result tell which and why.

    Args:
        model: a sentence-transformers folder or a hub name, with its own prompts; None or "" for the default
            model, which needs no network.
        data_dir: the data folder.
        progress: called with a line of text before each step that takes more than a moment.
    Raises:
        EmbedderError: the model cannot be found, built or loaded by either.
    """
    source, name, export_folder = _places(model, data_dir / "models")
    is_default = not model
    exported = is_current(export_folder, source)
    # The export alone is enough to serve, so a shipped one does not have the weights built again.
    if is_default and not exported:
        build_model(source, progress=progress)
    missing = [package for package in ("openvino", "tokenizers") if find_spec(package) is None]
    if missing:
        reason = f"{' and '.join(missing)} not installed"
    else:
        try:
            if exported:
                try:
                    return OpenVinoEmbedder(export_folder)
                except LearnedFileError:
                    raise
                except EmbedderError as error:
                    logger.warning("%s; exporting anew", error)
                    if is_default:
                        build_model(source, progress=progress)
            export_model(source, export_folder, name=name, progress=progress)
            return OpenVinoEmbedder(export_folder, backend_reason="exported just now")
        except LearnedFileError:
            # Nothing is mended by exporting again, or by another backend, whose vectors the index does not have.
            raise
        except (EmbedderError, ImportError) as error:
            reason = f"OpenVINO cannot serve this model: {error}"
            logger.warning("%s", reason)
    if is_default:
        build_model(source, progress=progress)
    try:
        return SentenceTransformerEmbedder(source, name=name, backend_reason=reason)
    except ImportError as error:
        raise EmbedderError(
            f"neither OpenVINO ({reason}) nor sentence-transformers ({error}) can serve model '{name}'; "
            "install sentence-transformers"
        ) from error


def _places(model: str | None, models: Path) -> tuple[Path, str, Path]:
    """Source folder, name for people, and export folder of a model."""
    if not model:
        return models / MODEL_NAME, MODEL_NAME, models / MODEL_NAME / "openvino"
    source = locate_model(model)
    name = model_name(model)
    # Two folders may end in the same name, so where the model came from is part of the export's name.
    origin = str(source.resolve()) if Path(model).is_dir() else model
    slug = re.sub(r"[^\w.-]+", "-", name) + "-" + hashlib.sha256(origin.encode()).hexdigest()[:8]
    return source, name, models / slug / "openvino"
