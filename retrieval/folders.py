"""Folders that are written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STALE_S = 3600.0  # no build takes as long; what is older was left by one that was killed


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """A new empty folder beside `folder`, to be filled and renamed to it; removed in the end if still there.

    The parents of `folder` are made. What killed builds of the same folder have left is removed.

    Raises:
        OSError: the parents or the folder cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.unfinished-*"):
        if time.time() - left.stat().st_mtime > _STALE_S:
            shutil.rmtree(left, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.unfinished-", dir=folder.parent))
    try:
        unfinished.chmod(0o755)  # mkdtemp makes it private; a server may run as another user
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
