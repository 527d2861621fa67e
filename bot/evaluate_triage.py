"""Measures the triage on a split: `python -m bot.evaluate_triage` prints precision, recall and AUROC by language."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bot.ranking import auroc
from bot.triage import Triage
from bot.triage_set import EVAL_DIR, SPLITS, JudgedText, read_judged
from bot.types import SITUATIONS, Conversation, Question, Turn
from retrieval import Lexicon, load_embedder

ALL = "all"
YesNo = Literal["emergency", "harm"]


@dataclass(frozen=True, slots=True)
class YesNoMeasures:
    """Figures of one group of texts; a share of nothing is 0, an AUROC without both kinds is 0.5."""

    n_yes: int
    n_no: int
    recall: float
    false_alarms: float
    precision: float
    auroc: float


@dataclass(frozen=True, slots=True)
class SituationMeasures:
    """`accuracy` over all texts, `recall` by situation."""

    n: int
    accuracy: float
    recall: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TriageMeasures:
    """All figures of one split: by kind, then by language (`all` first)."""

    emergency: Mapping[str, YesNoMeasures]
    harm: Mapping[str, YesNoMeasures]
    situation: Mapping[str, SituationMeasures]


def measure_triage(triage: Triage, split: str, eval_dir: Path = EVAL_DIR) -> TriageMeasures:
    """The figures of `triage` on one of `SPLITS`."""
    return TriageMeasures(
        emergency=_by_language(triage, "emergency", split, eval_dir),
        harm=_by_language(triage, "harm", split, eval_dir),
        situation=_situations(triage, split, eval_dir),
    )


def triage_report(measures: TriageMeasures) -> str:
    """The figures as tables for people."""
    lines = []
    for kind, by_language in (("emergency", measures.emergency), ("harm", measures.harm)):
        lines.append(f"{kind:<10} {'yes':>5} {'no':>5} {'recall':>7} {'alarms':>7} {'precis.':>7} {'AUROC':>6}")
        lines += [
            f"{language:<10} {m.n_yes:>5} {m.n_no:>5} {m.recall:>7.3f} {m.false_alarms:>7.3f} {m.precision:>7.3f}"
            f" {m.auroc:>6.3f}"
            for language, m in by_language.items()
        ]
        lines.append("")
    lines.append(f"{'situation':<10} {'n':>5} {'accuracy':>8}  recall by situation")
    for language, m in measures.situation.items():
        recalls = ", ".join(f"{situation} {recall:.2f}" for situation, recall in m.recall.items())
        lines.append(f"{language:<10} {m.n:>5} {m.accuracy:>8.3f}  {recalls if language == ALL else ''}".rstrip())
    return "\n".join(lines)


def _by_language(triage: Triage, kind: YesNo, split: str, eval_dir: Path) -> dict[str, YesNoMeasures]:
    rows = []
    for judged in read_judged(kind, split, eval_dir):
        question = Question(judged.text, judged.language)
        assessment = triage.assess(question, conversation_before(triage, judged))
        scores = triage.scores(judged.text)
        is_found = assessment.is_emergency if kind == "emergency" else assessment.is_declined
        score = scores.emergency if kind == "emergency" else scores.harm
        rows.append((judged.language, bool(judged.label), is_found, score))
    languages = [ALL, *dict.fromkeys(language for language, *_ in rows)]
    return {language: _yes_no([r[1:] for r in rows if language in (ALL, r[0])]) for language in languages}


def _yes_no(rows: Sequence[tuple[bool, bool, float]]) -> YesNoMeasures:
    yes = [(is_found, score) for label, is_found, score in rows if label]
    no = [(is_found, score) for label, is_found, score in rows if not label]
    n_found, n_alarms = sum(f for f, _ in yes), sum(f for f, _ in no)
    return YesNoMeasures(
        n_yes=len(yes),
        n_no=len(no),
        recall=n_found / len(yes) if yes else 0.0,
        false_alarms=n_alarms / len(no) if no else 0.0,
        precision=n_found / (n_found + n_alarms) if n_found + n_alarms else 0.0,
        auroc=auroc([s for _, s in yes], [s for _, s in no], empty=0.5),
    )


def _situations(triage: Triage, split: str, eval_dir: Path) -> dict[str, SituationMeasures]:
    rows = []
    for judged in read_judged("situation", split, eval_dir):
        assessment = triage.assess(Question(judged.text, judged.language), conversation_before(triage, judged))
        rows.append((judged.language, str(judged.label), assessment.situation))
    languages = [ALL, *dict.fromkeys(language for language, *_ in rows)]
    found = {}
    for language in languages:
        chosen = [(label, given) for lang, label, given in rows if language in (ALL, lang)]
        recall: dict[str, float] = {}
        for situation in SITUATIONS:
            labelled = [given for label, given in chosen if label == situation]
            if labelled:
                recall[situation] = sum(given == situation for given in labelled) / len(labelled)
        found[language] = SituationMeasures(len(chosen), sum(a == b for a, b in chosen) / len(chosen), recall)
    return found


def conversation_before(triage: Triage, judged: JudgedText) -> Conversation:
    """The conversation that the questions before `judged` make."""
    conversation = Conversation("evaluation")
    for text in judged.history:
        assessment = triage.assess(Question(text, judged.language), conversation)
        turn = Turn(text, (), assessment.situation)
        conversation = Conversation("evaluation", turns=(*conversation.turns, turn))
    return conversation


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the report, or the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bot.evaluate_triage", description=__doc__)
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--eval", type=Path, default=EVAL_DIR, help="the folder of the judged sets")
    parser.add_argument("--data", type=Path, default=Path("var"), help="the data folder, for the model")
    parser.add_argument("--rules-only", action="store_true", help="as if the embedding model were broken")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    read = None if options.rules_only else load_embedder(None, options.data).read_query
    triage = Triage(Lexicon.load(options.eval.parent / "lexicon.yaml"), read)
    measures = measure_triage(triage, options.split, options.eval)
    print(json.dumps(asdict(measures), ensure_ascii=False) if options.json else triage_report(measures))


if __name__ == "__main__":
    main()
