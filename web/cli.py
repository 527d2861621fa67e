"""The command line: `guitu`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from web.service import Service

# `web.evaluation.SET_NAMES`, which would bring half the bot along; a test compares them.
EVALUATION_SETS = (
    "dev",
    "test",
    "test-more",
    "test-languages",
    "facts-test",
    "main-60",
    "triage",
    "triage-blind",
    "offers",
    "offers-blind",
    "all",
)


class CommandError(Exception):
    """An expected failure: one line for the person, exit code 1."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code (0 done, 1 expected failure, 2 wrong usage)."""
    # Terminals and pipes of any locale get UTF-8; what cannot be shown is replaced rather than a crash.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return int(arguments.run(arguments) or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; the rest of the output has no one to go to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, _expected()):
            print(f"guitu: {error}", file=sys.stderr)
            return 1
        logging.getLogger(__name__).debug("unexpected", exc_info=error)
        print(
            f"guitu: unexpected {type(error).__name__}: {error}; set GUITU_DEBUG=1 to see where",
            file=sys.stderr,
        )
        if os.environ.get("GUITU_DEBUG"):
            raise
        return 1


def _expected() -> tuple[type[Exception], ...]:
    from bot.errors import BotError
    from retrieval import RetrievalError
    from web.channels.errors import ChannelError
    from web.errors import WebError

    return (CommandError, BotError, RetrievalError, WebError, ChannelError, OSError)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="guitu", description="归途 Guitu: quoted, cited answers about job scams abroad."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    serve = command("serve", _serve, "Run the web application.")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=_port, default=8000)

    ask = command("ask", _ask, "Answer one question.")
    ask.add_argument("question")
    ask.add_argument("--lang", help="language of the answer, e.g. zh-Hans, en, vi")
    ask.add_argument("--json", action="store_true", help="print the body of /v1/ask")

    offer = command("check-offer", _check_offer, "Find the red flags of a job offer.")
    given = offer.add_mutually_exclusive_group()
    given.add_argument("--text")
    given.add_argument("--file", type=Path)
    given.add_argument("--image", type=Path)
    offer.add_argument("--lang")
    offer.add_argument("--json", action="store_true")

    ingest = command("ingest", _ingest, "Add articles (files, folders, web addresses).")
    ingest.add_argument("sources", nargs="+", metavar="SOURCE")
    ingest.add_argument("--dry-run", action="store_true", help="say what would happen; change nothing")
    ingest.add_argument("--json", action="store_true")
    ingest.add_argument("--no-index", action="store_true", help="do not update the index afterwards")

    withdraw = command("withdraw", _withdraw, "Take an article out of every answer and page at once.")
    withdraw.add_argument("article_id")
    withdraw.add_argument("--undo", action="store_true", help="show it again")

    index = command("index", None, "Build the index, or say what it holds.")
    actions = index.add_subparsers(dest="action", required=True)
    build = actions.add_parser("build", help="Build the index from the corpus and the data folder.")
    build.set_defaults(run=_index_build)
    status = actions.add_parser("status", help="Model, counts, age and digests.")
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_index_status)

    search = command("search", _search, "Ranked passages with scores.")
    search.add_argument("query")
    search.add_argument("-k", type=_positive, default=5)
    search.add_argument("--json", action="store_true")

    evaluate = command("evaluate", _evaluate, "Measure retrieval, answers, triage and the offer check.")
    evaluate.add_argument("--beir", type=Path, metavar="DIR", help="a folder in BEIR form; without it, the own sets")
    evaluate.add_argument("--split", default="test")
    evaluate.add_argument("--run", type=Path, dest="run_file", metavar="FILE", help="write a TREC run")
    evaluate.add_argument("--json", action="store_true")
    evaluate.add_argument("--set", choices=EVALUATION_SETS, default="test", dest="own_set", help="one of the own sets")

    corpus = command("corpus", None, "Check the corpus.")
    corpus_actions = corpus.add_subparsers(dest="action", required=True)
    check = corpus_actions.add_parser("check", help="Lint articles, sources, footnotes, contacts and lexicon.")
    check.set_defaults(run=_corpus_check)

    # Imported here as its choices are the platforms that there are.
    from web.channels_cli import add_parser as add_channels

    add_channels(commands)
    commands.choices["channels"].set_defaults(run=_channels)
    return parser


def _port(value: str) -> int:
    port = int(value)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("must be 0 to 65535")
    return port


def _positive(value: str) -> int:
    number = int(value)
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError("must be 1 to 1000")
    return number


def _make_service() -> Service:
    from web.service import Service
    from web.settings import load_settings

    return Service(load_settings())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _ProgressLine:
    """Shows how far a long step is: rewritten in place on a terminal, a line a step elsewhere."""

    def __init__(self) -> None:
        self._step = ""

    def __call__(self, step: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done >= total else ""
            print(f"\r  {step}: {done} of {total}   ", end=end, file=sys.stderr, flush=True)
        elif done >= total:
            _say(f"  {step}: {total}")


def _build(service: Service) -> None:
    index = service.build(_ProgressLine(), _say)
    counts = index.manifest["counts"]
    _say(f"index built: {counts['articles']} articles, {counts['passages']} passages, {counts['sentences']} sentences")


def _ready_service() -> Service:
    """A service whose index serves; built first where it is missing."""
    from retrieval import IndexDirError

    service = _make_service()
    try:
        service.view()
    except IndexDirError as error:
        _say(f"{error}")
        _say("building the index now")
        _build(service)
    return service


def _serve(arguments: argparse.Namespace) -> int:
    import uvicorn

    from retrieval import RetrievalError
    from web.channels.accounts import read_channel_settings
    from web.service import Service
    from web.settings import load_settings, read_environment

    settings = load_settings()
    service = Service(settings)
    # The model loads in native code, the application's modules in Python: side by side on two cores.
    service.load_ahead()
    from web.app import create_app
    from web.server import Server, listening_socket

    # Taken first: nobody should wait for a build to learn that the port is in use.
    try:
        listener = listening_socket(arguments.host, arguments.port)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {arguments.host}:{arguments.port} ({error.strerror}); choose another with --port"
        ) from None
    with listener:
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        app = create_app(settings, read_channel_settings(read_environment(), data=settings.data), service=service)
        if not service.is_index_current():
            _say("building the index")
            try:
                _build(service)
            except RetrievalError as error:
                # Somebody in danger needs the numbers, and those need neither index nor model.
                _say(f"guitu: {error}")
                _say("starting without answers: only emergency cards, contacts and the offer check work")
        host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, date_header=True)
        Server(config, f"归途 Guitu is ready: http://{host}:{listener.getsockname()[1]}").run(sockets=[listener])
    return 0


def _ask(arguments: argparse.Namespace) -> int:
    from bot.question import read_question
    from bot.types import Conversation
    from web.schemas import answer_json
    from web.terminal import show_answer

    service = _ready_service()
    question = read_question(arguments.question, language=arguments.lang, max_chars=service.settings.max_question_chars)
    answer, conversation = service.answerer.answer(question, Conversation("cli"))
    body = answer_json(answer, conversation.conversation_id, service.settings.contact_max_age_days)
    print(_as_json(body) if arguments.json else show_answer(body))
    return 0


def _check_offer(arguments: argparse.Namespace) -> int:
    from bot.question import known_language
    from web.schemas import offer_json
    from web.terminal import show_offer

    service = _ready_service()
    language = known_language(arguments.lang)
    if arguments.image:
        report = service.check_picture(arguments.image.read_bytes(), language=language)
    else:
        if arguments.file:
            text = _read_text(arguments.file)
        elif arguments.text is not None:
            text = arguments.text
        else:
            text = sys.stdin.read()
        report = service.offers.check(text, language=language)
    body = offer_json(report, service.settings.contact_max_age_days)
    print(_as_json(body) if arguments.json else show_offer(body))
    return 0


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"'{path}' is not UTF-8 text; save it as UTF-8") from None


def _ingest(arguments: argparse.Namespace) -> int:
    from web.ingest import ingest_sources

    service = _make_service()
    outcomes = []
    for outcome in ingest_sources(service.library, arguments.sources, dry_run=arguments.dry_run):
        outcomes.append(outcome)
        if not arguments.json:
            words = [outcome.outcome + (f": {outcome.reason}" if outcome.reason else ""), outcome.source]
            if outcome.article_id:
                words.append(f"{outcome.article_id} {outcome.title}")
            if outcome.repost_of:
                words.append(f"(repost of {outcome.repost_of})")
            print("\t".join(words), flush=True)
    if arguments.json:
        print(_as_json([{name: getattr(o, name) for name in o.__slots__} for o in outcomes]))
    changed = any(outcome.outcome in ("added", "updated") for outcome in outcomes)
    if changed and not arguments.dry_run and not arguments.no_index:
        _build(service)
    return int(any(outcome.outcome == "rejected" for outcome in outcomes))


def _withdraw(arguments: argparse.Namespace) -> int:
    service = _make_service()
    library = service.library
    if arguments.undo:
        if arguments.article_id not in library.withdrawn():
            raise CommandError(f"'{arguments.article_id}' is not withdrawn")
        library.restore(arguments.article_id)
        _build(service)
        print(f"shown again: {arguments.article_id}")
        return 0
    if arguments.article_id not in {article.article_id for article in service.articles()}:
        raise CommandError(f"there is no article '{arguments.article_id}'; `guitu search` shows ids")
    library.withdraw(arguments.article_id)
    print(f"withdrawn: {arguments.article_id}")
    return 0


def _index_build(arguments: argparse.Namespace) -> int:
    _build(_make_service())
    return 0


def _index_status(arguments: argparse.Namespace) -> int:
    from web.terminal import show_status

    status = _make_service().status()
    print(_as_json(status) if arguments.json else show_status(status))
    return 0


def _search(arguments: argparse.Namespace) -> int:
    service = _ready_service()
    view = service.view()
    hits = view.searcher.search(arguments.query, arguments.k, without=view.withdrawn)
    if arguments.json:
        rows = [
            {
                "rank": hit.rank,
                "score": round(hit.score, 4),
                "cosine": round(hit.cosine, 4),
                "lexical": round(hit.lexical, 4),
                "passage_id": hit.passage.passage_id,
                "article_id": hit.article.article_id,
                "title": hit.article.title,
                "heading": hit.passage.heading,
                "language": hit.article.language,
                "n_reprints": hit.n_reprints,
                "text": hit.passage.text,
            }
            for hit in hits
        ]
        print(_as_json(rows))
    else:
        for hit in hits:
            print(
                f"{hit.rank}. {hit.score:.3f} (cosine {hit.cosine:.3f}, lexical {hit.lexical:.3f}) {hit.passage.passage_id}"
            )
            print(f"   {hit.article.title} {hit.passage.heading}".rstrip())
            print(f"   {hit.passage.text[:160]}".replace("\n", " "))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    if arguments.beir is not None:
        from retrieval.evaluate import evaluate_beir
        from web.terminal import show_measures

        service = _make_service()
        measures = evaluate_beir(
            arguments.beir,
            service.embedder(_say),
            service.lexicon,
            split=arguments.split,
            run_path=arguments.run_file,
            progress=_ProgressLine(),
        )
        print(_as_json(measures) if arguments.json else show_measures(measures))
        return 0
    from web.evaluation import TEXT_SETS, evaluate_own

    service = _make_service() if arguments.own_set in TEXT_SETS else _ready_service()
    measures, page = evaluate_own(service, arguments.own_set)
    print(_as_json(measures) if arguments.json else page)
    return 0


def _corpus_check(arguments: argparse.Namespace) -> int:
    from bot.corpus_check import check_corpus

    settings = _make_service().settings
    findings = check_corpus(settings.corpus, max_age_days=settings.contact_max_age_days)
    for finding in findings:
        print(finding)
    n_errors = sum(finding.is_error for finding in findings)
    print(f"{n_errors} errors, {len(findings) - n_errors} warnings")
    return int(n_errors > 0)


def _channels(arguments: argparse.Namespace) -> int:
    from web.channels_cli import run
    from web.settings import load_settings, read_environment

    return run(arguments, read_environment(), load_settings().data)


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    sys.exit(main())
