"""Exports a sentence-transformers model as one OpenVINO graph: encoder, pooling and normalisation."""

from __future__ import annotations

import logging
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.encoders import (
    EMBEDDINGS_FILE,
    MAX_CHARS_PER_TOKEN,
    ExportInfo,
    OpenVinoEmbedder,
    clean_text,
    load_sentence_transformer,
    model_digest,
    model_files,
)
from retrieval.errors import EmbedderError
from retrieval.folders import unfinished_folder
from retrieval.verifier import UpperLayers

TOKENS_AT = 2 / 3
"""How far up the layers the token states are taken. Chosen on the dev sets of the triage."""

MIN_COSINE = 0.999
"""Between the exported graph and sentence-transformers, for each check text; less and the export is refused.
With float16 weights and bfloat16 arithmetic the default model has 0.99998 or more."""

CHECK_TEXTS = (
    "",
    "?",
    "首次在当阳抓了多少人？",
    "我弟弟被骗到缅甸妙瓦底，护照被收走了，怎样才能报警并让他安全回国？",
    "親人在柬埔寨失聯，應該先聯絡哪個單位？",
    "How do I report a job scam, and who pays for the flight home?",
    "Làm thế nào để trình báo lừa đảo việc làm ở nước ngoài?",
    "ฉันถูกหลอกให้ไปทำงานที่เมียนมา จะขอความช่วยเหลือได้ที่ไหน",
    "မြန်မာနိုင်ငံမှာ အလုပ်လိမ်ခံရရင် ဘယ်ကို ဆက်သွယ်ရမလဲ",
    "Saya ditahan dan paspor saya diambil. Ke mana saya harus melapor?",
    "मुझे विदेश में नौकरी का झाँसा देकर बंद कर दिया गया है, मैं किसे फ़ोन करूँ?",
    "كيف أبلغ عن عملية احتيال توظيف في الخارج؟",
    "해외 취업 사기를 당했습니다. 어디에 신고해야 하나요?",
    "ＡＢＣ１２３ ～ ① ㈱ ﬁ ½ e\u0301 👩‍👩‍👧 \u200b\ufdfa",
)
_CHECK_REPEATS = (
    1,
    4,
    13,
    40,
)  # to some 700 tokens, so that texts at and beyond the model's limit are among them


def export_model(
    model_folder: Path, export_folder: Path, *, name: str, progress: Callable[[str], None] | None = None
) -> None:
    """Write the OpenVINO form of a model, ready for `OpenVinoEmbedder`.

    The graph takes ``embeddings`` (n, length, width) float32 and ``attention_mask`` (n, length) int64 and gives
    (n, dim) float32 of unit length, and (n, length, width) float32, the tokens after two thirds of the layers. The
    table of the embeddings of all words is a file of its own: most of the model, and of which a question needs a few
    rows. The two layers above those tokens are kept besides, for `retrieval.verifier`, where the model is like BERT. All is written beside its place, compared with sentence-transformers there, and then renamed into place.
    Takes about half a minute and 2 GB of memory for the default model.

    Args:
        model_folder: a sentence-transformers folder.
        export_folder: where the export shall be; an older one is replaced.
        name: of the model, for people.
        progress: called with a line of text before each step.
    Raises:
        EmbedderError: the model cannot be expressed as such a graph, or its vectors differ; nothing is left.
        ImportError: openvino, torch or sentence-transformers is not installed.
    """
    say = progress or (lambda line: None)
    say(f"loading {name} to export it")
    model = load_sentence_transformer(model_folder)
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        raise EmbedderError(f"model '{name}' has no fast tokenizer, so it cannot be exported")
    say("exporting it for quick serving (about half a minute)")
    graph = _convert(model)
    try:
        with unfinished_folder(export_folder) as unfinished:
            info = _write(unfinished, graph, model, tokenizer, model_folder, name)
            del graph
            say("comparing it with sentence-transformers")
            n_checked, min_cosine = compare(unfinished, model)
            if not min_cosine >= MIN_COSINE:
                raise EmbedderError(
                    f"the exported form of '{name}' differs from sentence-transformers: lowest cosine "
                    f"{min_cosine:.6f} on {n_checked} texts, at least {MIN_COSINE} is needed"
                )
            replace(info, n_checked=n_checked, min_cosine=round(min_cosine, 7)).write(unfinished)
            _replace_folder(unfinished, export_folder)
    except EmbedderError:
        raise
    except Exception as error:  # for a full disk, say, openvino and tokenizers have errors of their own
        raise EmbedderError(f"cannot write the exported model to '{export_folder}': {error}") from error
    say(f"exported; lowest cosine to sentence-transformers {min_cosine:.6f} on {n_checked} texts")


def compare(export_folder: Path, model: Any) -> tuple[int, float]:
    """Embed the check texts as questions and as passages with both.

    Args:
        export_folder: for `OpenVinoEmbedder`.
        model: the SentenceTransformer it was made from.
    Returns:
        Number of comparisons, lowest cosine.
    """
    embedder = OpenVinoEmbedder(export_folder)
    # Cut as the embedder would, so that the comparison is of the models and not of how text is cleaned.
    limit = MAX_CHARS_PER_TOKEN * embedder.info.max_tokens
    texts = [clean_text(text * repeat, limit) for text in CHECK_TEXTS for repeat in _CHECK_REPEATS]
    ours = np.concatenate((embedder.embed_queries(texts), embedder.embed_passages(texts)))
    theirs = np.concatenate(
        [
            encode(texts, batch_size=8, show_progress_bar=False, normalize_embeddings=True)
            for encode in (model.encode_query, model.encode_document)
        ]
    )
    cosines = np.sum(ours * theirs, axis=1)
    return len(cosines), float(cosines.min())


def tokens_layer(n_layers: int) -> int:
    """After how many of the layers the token states are taken."""
    return round(n_layers * TOKENS_AT)


def is_current(export_folder: Path, model_folder: Path) -> bool:
    """Whether an export is there and was made from the model as it is now.

    A model folder without weights is not looked at, so that an export alone can be shipped.
    """
    try:
        info = ExportInfo.read(export_folder)
    except EmbedderError:
        return False
    if not (model_folder / "modules.json").is_file():
        return True
    # Names, sizes and times are compared first; reading half a gigabyte would double the time to start.
    if info.source_files == _source_files(model_folder):
        return True
    return info.source_digest == model_digest(model_folder)


def _convert(model: Any) -> Any:
    """The model as an OpenVINO graph with dynamic batch and length."""
    # Where this module is missing, the converter uses a stub of its own: nobody's build is reported to anybody.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import torch

    class OneGraph(torch.nn.Module):
        """The modules of a SentenceTransformer in a row, from embedded words to unit vectors and token states."""

        def __init__(self, parts: Any) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(parts)

        def forward(self, embeddings: Any, attention_mask: Any) -> Any:
            features = {"inputs_embeds": embeddings, "attention_mask": attention_mask}
            for part in self.parts:
                features = part(features)
            layers = features["all_layer_embeddings"]
            tokens = layers[tokens_layer(len(layers) - 1)]
            return torch.nn.functional.normalize(features["sentence_embedding"], dim=1), tokens

    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    length = torch.export.Dim("length", min=1, max=int(model.max_seq_length or 512))
    shapes = {name: {0: batch, 1: length} for name in ("embeddings", "attention_mask")}
    torch_loggers = logging.getLogger("torch.export"), logging.getLogger("torch.fx")
    levels = [logger.level for logger in torch_loggers]
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # deprecations between torch and openvino, not ours to mend
            model[0].model.config.output_hidden_states = True
            # Sizes of 0 and 1 are special to torch.export, so the example has neither; the words are arbitrary.
            embeddings = model.cpu()[0].model.get_input_embeddings()(torch.arange(3 * 17).reshape(3, 17) + 5)
            attention_mask = torch.ones(embeddings.shape[:2], dtype=torch.int64)
            attention_mask[1, 9:] = 0
            for logger in torch_loggers:
                logger.setLevel(logging.ERROR)
            exported = torch.export.export(
                OneGraph(model).eval(), (embeddings, attention_mask), dynamic_shapes=shapes, strict=False
            )
            return openvino.convert_model(exported)
    except Exception as error:  # whatever a model does that cannot be expressed
        raise EmbedderError(f"model cannot be exported: {type(error).__name__}: {str(error)[:200]}") from error
    finally:
        for logger, level in zip(torch_loggers, levels, strict=True):
            logger.setLevel(level)


def _write(folder: Path, graph: Any, model: Any, tokenizer: Any, model_folder: Path, name: str) -> ExportInfo:
    """Write graph, tokenizer and metadata, the last as yet without the result of the comparison."""
    import openvino

    # float16 halves the file and the memory. 8-bit weights took 40 MB less still, but cosines fell to 0.9997
    # and batches differed from single texts by 1.8e-3, for activations are then rounded to 8 bits as well.
    openvino.save_model(graph, str(folder / "model.xml"), compress_to_fp16=True)
    table = model[0].model.get_input_embeddings().weight.detach().numpy()
    np.save(folder / EMBEDDINGS_FILE, table.astype(np.float16))
    transformer = model[0].model
    upper = UpperLayers.of_model(transformer, tokens_layer(int(transformer.config.num_hidden_layers)))
    if upper is not None:
        upper.save(folder)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    prompts: dict[str, str] = model.prompts
    default = prompts.get(model.default_prompt_name or "", "")
    passage_prompts = [prompts[key] for key in ("document", "passage", "corpus") if key in prompts]
    info = ExportInfo(
        name=name,
        source_digest=model_digest(model_folder),
        source_files=_source_files(model_folder),
        dim=int(model.get_embedding_dimension()),
        max_tokens=int(model.max_seq_length or 512),
        query_prompt=prompts.get("query", default),
        passage_prompt=passage_prompts[0] if passage_prompts else default,
        openvino_version=openvino.__version__,
        n_checked=0,
        min_cosine=0.0,
    )
    info.write(folder)
    return info


def _source_files(model_folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = ((inside, path.stat()) for inside, path in model_files(model_folder))
    return tuple((inside, stat.st_size, stat.st_mtime_ns) for inside, stat in found)


def _replace_folder(new: Path, folder: Path) -> None:
    """Put a finished folder in place of an older one, or of one that another process has just put there."""
    aside = folder.with_name(f".{folder.name}.old-{time.time_ns()}")
    if folder.exists():
        folder.rename(aside)
    try:
        new.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    shutil.rmtree(aside, ignore_errors=True)
