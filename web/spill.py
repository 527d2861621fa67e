"""A second store for deliveries that the database could not take and the platform would not bring again."""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from web.channels.base import Inbound
from web.channels.errors import KeyMismatchError
from web.records import read_inbound, write_inbound
from web.vault import Vault

logger = logging.getLogger(__name__)


class Spill:
    """A folder with one encrypted file a delivery. Whole files are easier to take away safely than lines."""

    def __init__(self, folder: Path, vault: Vault) -> None:
        self._folder = folder
        self._vault = vault

    def write(self, inbounds: Sequence[Inbound]) -> None:
        """Keeps a delivery; it is on the disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = [base64.b64encode(self._vault.seal(write_inbound(inbound))).decode() for inbound in inbounds]
        path = self._folder / f"{secrets.token_hex(12)}.json"
        fresh = path.with_suffix(".part")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self) -> Iterator[tuple[str, list[Inbound]]]:
        """The deliveries kept, each with the name that `done` wants."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.json")):
            try:
                rows = json.loads(path.read_text())
                yield path.name, [read_inbound(self._vault.open(base64.b64decode(row))) for row in rows]
            except (ValueError, KeyMismatchError):
                logger.error("a spilled delivery cannot be read: %s", path.name)
                path.rename(path.with_suffix(".damaged"))

    def done(self, name: str) -> None:
        """Takes a delivery away that the database has now."""
        (self._folder / name).unlink(missing_ok=True)
