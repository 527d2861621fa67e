"""The emergency card comes up whatever else is broken, on a real server."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.web.processes import RunningServer, copy_data, running_server

pytestmark = pytest.mark.model
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CRIES = {
    "zh-Hans": "救命，我被关在园区里，他们不让我走",
    "en": "help me they locked us in a compound and took my passport",
    "vi": "cứu em với, em bị nhốt ở Campuchia không cho về",
    "th": "ช่วยด้วย ถูกขังอยู่ในตึก เขายึดพาสปอร์ต",
    "my": "ကယ်ပါ၊ ကျွန်တော့်ကို ပိတ်လှောင်ထားတယ်",
}


def check_cards(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for language, cry in CRIES.items():
            response = client.post("/v1/ask", json={"question": cry, "lang": language})
            assert response.status_code == 200, response.text
            body = response.json()
            assert body["status"] == "emergency", language
            assert body["contacts"]
            assert all(contact["number"] for contact in body["contacts"])
            assert body["notice"]
        form = client.post("/", data={"question": CRIES["zh-Hans"], "lang": "zh-Hans"})
        assert form.status_code == 200
        assert "+86-10-12308" in form.text
        assert client.get("/healthz").status_code == 200
        assert client.get("/contacts").status_code == 200


def test_without_index_and_without_model(built_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with running_server(data, GUITU_MODEL=str(tmp_path / "no-such-model"), HF_HUB_OFFLINE="1") as server:
        check_cards(server)
        calm = httpx.post(f"{server.url}/v1/ask", json={"question": "12308是什么？"}, timeout=60)
        assert calm.status_code == 503
        assert calm.headers["content-type"] == "application/problem+json"
        assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 503


@pytest.mark.parametrize("lost", ["index", "models"])
def test_folder_deleted_under_a_running_server(built_data: Path, tmp_path: Path, lost: str) -> None:
    data = copy_data(built_data, tmp_path / "data")
    with running_server(data) as server:
        if (data / lost).is_symlink():
            (data / lost).unlink()
        else:
            shutil.rmtree(data / lost)
        check_cards(server)


def test_database_locked(built_data: Path, tmp_path: Path) -> None:
    data = copy_data(built_data, tmp_path / "data")
    with running_server(data, GUITU_CHANNEL_GENERIC_TEST_SECRET=SECRET) as server:
        databases = list(data.glob("*.db"))
        assert databases
        lock = sqlite3.connect(databases[0], isolation_level=None)
        try:
            lock.execute("BEGIN EXCLUSIVE")
            check_cards(server)
        finally:
            lock.close()
