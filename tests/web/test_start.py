"""What a start loads: where no messaging account is set, nothing that only the messaging platforms need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Of the message store and the calls to platforms, and what those bring along.
HEAVY = ("sqlalchemy", "alembic", "httpx", "rich", "pygments", "phonenumbers", "rapidocr", "cv2", "torch")
APPLICATION = "import web.app"
WITHOUT_ACCOUNTS = """
import asyncio, fastapi, pathlib
from web.channels.accounts import read_channel_settings
from web.hooks import channels_lifespan
async def live():
    async with channels_lifespan(fastapi.FastAPI(), read_channel_settings({}, data=pathlib.Path()), None):
        pass
asyncio.run(live())
"""
COMMAND_LINE = """
import contextlib, io
from web.cli import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(APPLICATION, id="application"),
        pytest.param(WITHOUT_ACCOUNTS, id="without-accounts"),
        pytest.param(COMMAND_LINE, id="command-line"),
    ],
)
def test_a_start_without_accounts_is_light(code: str) -> None:
    code += f"\nimport sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
