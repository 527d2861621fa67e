"""A real server over the real corpus and model, started once for all tests of the web package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.processes import REPOSITORY, RunningServer, copy_data, guitu, running_server


@pytest.fixture(scope="session")
def built_data() -> Path:
    """A data folder with the default model and the index of the corpus; built once and kept between runs."""
    data = REPOSITORY / "var" / "test-data"
    data.mkdir(parents=True, exist_ok=True)
    done = guitu("index", "build", data=data)
    assert done.returncode == 0, done.stderr
    return data


@pytest.fixture(scope="session")
def server(built_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that only ask."""
    data = copy_data(built_data, tmp_path_factory.mktemp("server") / "data")
    with running_server(data) as running:
        yield running
