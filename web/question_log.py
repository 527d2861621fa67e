"""The operator's log of questions: off unless switched on, and never without redaction."""

from __future__ import annotations

import datetime as dt
import json
import threading
from pathlib import Path

from web.service import Service


class QuestionLog:
    """Appends redacted lines to `<data>/questions.jsonl`; with `folder` None it writes nothing."""

    def __init__(self, folder: Path | None, service: Service) -> None:
        self._path = None if folder is None else folder / "questions.jsonl"
        self._service = service
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        """Whether the operator has switched the log on."""
        return self._path is not None

    def write(self, event: str, *, text: str, **fields: object) -> None:
        """One line: the time, `fields`, and `text` with personal data replaced."""
        if self._path is None:
            return
        # Its telephone numbering plans take a while to load, and the log is off in most places.
        from bot.redact import hotline_digits, redact

        line = {
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "event": event,
            **fields,
            "text": redact(text, hotline_digits(self._service.contacts)),
        }
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
