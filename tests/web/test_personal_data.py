"""What people type of themselves is nowhere afterwards: not in the log, not in any other file."""

from __future__ import annotations

import concurrent.futures
import random
from pathlib import Path

import httpx
import pytest

from tests.web.processes import copy_data, running_server

pytestmark = [pytest.mark.model, pytest.mark.slow]
N_MESSAGES = 500


def identity_number(chance: random.Random) -> str:
    """A Chinese identity number with the right check digit (GB 11643)."""
    digits = f"530102{chance.randint(1960, 2005)}{chance.randint(1, 12):02}{chance.randint(1, 28):02}{chance.randint(0, 999):03}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return digits + "10X98765432"[sum(int(d) * w for d, w in zip(digits, weights, strict=True)) % 11]


def card_number(chance: random.Random) -> str:
    """A bank card number that passes Luhn's check."""
    digits = [6, 2, 2, 8, *(chance.randint(0, 9) for _ in range(14))]
    doubled = [d * 2 - 9 if d * 2 > 9 else d * 2 for d in digits[::-1][::2]]
    check = -(sum(doubled) + sum(digits[::-1][1::2])) % 10
    return "".join(map(str, [*digits, check]))


def message(n: int) -> tuple[str, list[str]]:
    """One message and the secrets in it."""
    chance = random.Random(n)
    phone = f"1{chance.choice('3589')}{chance.randint(10**8, 10**9 - 1)}"
    secrets = {
        "phone": phone,
        "id": identity_number(chance),
        "card": card_number(chance),
        "mail": f"user{chance.randint(10**5, 10**6)}@example.com",
        "thai": f"+66 8{chance.randint(1, 9)} {chance.randint(100, 999)} {chance.randint(1000, 9999)}",
        "name": chance.choice(("张晓明", "李建国", "王丽华", "陈志远")),
        "handle": f"@wx{chance.randint(10**5, 10**6)}",
        "place": f"{chance.uniform(10, 25):.5f}, {chance.uniform(95, 105):.5f}",
    }
    texts = (
        "我叫{name}，电话{phone}，身份证{id}，被骗到缅甸了怎么办",
        "银行卡{card}的钱转给了骗子，邮箱{mail}，12308能帮我吗",
        "My phone is {thai}, contact {handle}, how do I call the embassy?",
        "位置 {place} ，电话 {phone} ，谁能帮我",
    )
    text = texts[n % len(texts)]
    return text.format(**secrets), [value for name, value in secrets.items() if "{" + name + "}" in text]


@pytest.mark.parametrize("log_is_on", [True, False], ids=["log on", "log off"])
def test_nothing_of_a_person_is_kept(built_data: Path, tmp_path: Path, log_is_on: bool) -> None:
    data = copy_data(built_data, tmp_path / "data")
    messages = [message(n) for n in range(N_MESSAGES if log_is_on else 60)]
    with running_server(data, GUITU_REDACTED_LOG=str(log_is_on).lower()) as server:

        def send(text: str) -> int:
            with httpx.Client(base_url=server.url, timeout=60) as client:
                asked = client.post("/v1/ask", json={"question": text})
                if len(text) % 25 == 0:
                    client.post("/v1/feedback", json={"answer_id": "x", "helpful": False, "comment": text})
                return asked.status_code

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(send, [text for text, _ in messages]))
    assert set(statuses) == {200}
    log = data / "questions.jsonl"
    assert log.exists() == log_is_on
    if log_is_on:
        assert "12308" in log.read_text("utf-8")
    kept = [
        path.read_bytes()
        for path in data.rglob("*")
        if path.is_file() and "models" not in path.parts and "index" not in path.parts
    ]
    assert kept
    left = [s for _, secrets in messages for s in secrets if any(s.encode() in content for content in kept)]
    assert left == []
