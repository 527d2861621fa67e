"""The public interface over HTTP, against a real server process with the real model and corpus."""

from __future__ import annotations

import concurrent.futures
import json
from typing import Any

import httpx
import pytest

from tests.web.processes import RunningServer

pytestmark = pytest.mark.model
QUESTIONS = (
    "12308怎么打？",
    "护照被收走了怎么办？",
    "在缅甸联系中国大使馆打哪个号码？",
    "How do I call the Chinese embassy in Cambodia?",
    "Làm sao biết lời mời làm việc là giả?",
    "今天天气怎么样",
    "有人说交钱就能救人，可信吗？",
    "他们不让我走",
)


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Any:
    with httpx.Client(base_url=server.url, timeout=60) as found:
        yield found


def ask(client: httpx.Client, question: str, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/ask", json={"question": question, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_always_true_of_an_answer(client: httpx.Client, question: str) -> None:
    body = ask(client, question)
    assert body["status"] in ("answered", "not_covered", "emergency", "declined")
    known = {(c["id"], c["number"]) for c in client.get("/v1/contacts").json()["contacts"]}
    assert {(c["id"], c["number"]) for c in body["contacts"]} <= known
    if body["status"] == "answered":
        assert body["sentences"]
    if body["status"] in ("not_covered", "declined"):
        assert body["sentences"] == []
        assert body["notice"]
    if body["status"] == "emergency":
        assert body["contacts"]
    numbers = [c["n"] for c in body["citations"]]
    assert numbers == list(range(1, len(numbers) + 1))
    by_number = {c["n"]: c for c in body["citations"]}
    first_uses = list(dict.fromkeys(n for s in body["sentences"] for n in s["citations"]))
    assert first_uses == numbers
    for sentence in body["sentences"]:
        assert sentence["citations"]
        for n in sentence["citations"]:
            assert sentence["text"] in by_number[n]["quote"]
    for citation in body["citations"]:
        article = client.get(f"/v1/articles/{citation['article_id']}").json()
        assert citation["quote"] == article["text"][citation["start"] : citation["end"]]
        assert citation["sources"]
        page = client.get(citation["href"])
        assert page.status_code == 200
        assert "<mark" in page.text


def test_a_pasted_offer_is_checked_in_the_chat(client: httpx.Client) -> None:
    text = (
        "Customer service in Thailand, salary 3000 USD, no experience needed, flight paid, tourist visa, Telegram only"
    )
    body = ask(client, text)
    report = client.post("/v1/check-offer", json={"text": text}).json()
    assert body["offer"] == report
    assert report["verdict"] == "high_risk"
    assert report["citations"]
    assert body["notice"] == report["notice"]
    assert ask(client, "从国外拨打12308用什么号码？")["offer"] is None


def test_an_answer_comes_with_sources_of_the_sentences_shown(client: httpx.Client) -> None:
    body = ask(client, "从国外拨打12308用什么号码？")
    assert body["status"] == "answered"
    assert "+86-10-12308" in "".join(s["text"] for s in body["sentences"])
    source = body["citations"][0]["sources"][0]
    assert source["publisher"]
    assert source["date"]


def test_an_emergency_shows_numbers_first(client: httpx.Client) -> None:
    body = ask(client, "我被关在园区里，护照被收了", nationality="CN", country="MM")
    assert body["status"] == "emergency"
    assert body["situation"] == "trapped"
    assert body["contacts"][0]["id"] == "cn-12308-abroad"


def test_a_conversation_is_kept_and_a_new_one_has_its_own_id(client: httpx.Client) -> None:
    first = ask(client, "在柬埔寨怎么联系中国大使馆？")
    again = ask(client, "那泰国呢", conversation_id=first["conversation_id"])
    assert again["conversation_id"] == first["conversation_id"]
    assert "泰国" in "".join(s["text"] for s in again["sentences"])
    assert ask(client, "12308怎么打？")["conversation_id"] != first["conversation_id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"question": ""}, 422),
        ({"question": "   \u3000\n"}, 422),
        ({"question": "问" * 2001}, 422),
        ({"question": 5}, 422),
        ({}, 422),
        ([], 422),
        ("text", 422),
    ],
)
def test_a_bad_question_is_a_problem_document(client: httpx.Client, body: Any, status: int) -> None:
    response = client.post("/v1/ask", json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert {"type", "title", "detail"} <= set(problem)


@pytest.mark.parametrize(
    "text",
    ["\x00", "\ud800", "\ufdfa" * 300, "👩‍👩‍👧" * 50, "<script>alert(1)</script>", "{{7*7}}", "' OR 1=1 --"],
)
def test_hostile_text_does_no_harm(client: httpx.Client, text: str) -> None:
    # json.dumps writes lone surrogates as escapes, which is what a hostile client would send.
    raw = json.dumps({"question": f"12308怎么打 {text}"})
    response = client.post("/v1/ask", content=raw, headers={"content-type": "application/json"})
    assert response.status_code in (200, 422)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"question": ' + b"9" * 5000 + b"}"])
def test_broken_json_is_refused(client: httpx.Client, raw: bytes) -> None:
    response = client.post("/v1/ask", content=raw, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_body_that_is_too_large_is_refused(client: httpx.Client) -> None:
    response = client.post("/v1/ask", content=b"x" * 300_000, headers={"content-type": "application/json"})
    assert response.status_code == 413


def test_unknown_pages_and_methods_are_problem_documents(client: httpx.Client) -> None:
    assert client.get("/v1/articles/none").status_code == 404
    missing = client.get("/v1/none")
    assert missing.status_code == 404
    assert missing.json()["status"] == 404
    assert client.get("/v1/ask").status_code == 405


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["passages"] > 100
    ask(client, "12308怎么打？")
    metrics = client.get("/metrics").text
    assert "guitu_answers_total{" in metrics
    assert 'guitu_ask_seconds_bucket{le="+Inf"}' in metrics
    assert "12308" not in metrics


def test_the_interface_describes_itself(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/ask", "/v1/check-offer", "/v1/contacts", "/v1/feedback", "/v1/articles/{article_id}"} <= set(paths)


def test_contacts_are_chosen_for_the_person(client: httpx.Client) -> None:
    found = client.get(
        "/v1/contacts", params={"nationality": "cn", "country": "MM", "situation": "trapped", "lang": "en"}
    )
    contacts = found.json()["contacts"]
    assert [c["id"] for c in contacts[:2]] == ["cn-12308-abroad", "cn-12308-long"]
    assert all(c["source"]["publisher"] for c in contacts)
    assert not any(c["country"] == "TH" for c in contacts)


def test_feedback_is_accepted(client: httpx.Client) -> None:
    answer = ask(client, "12308怎么打？")
    body = {"answer_id": answer["id"], "helpful": True, "comment": "谢谢"}
    assert client.post("/v1/feedback", json=body).status_code == 202
    assert client.post("/v1/feedback", json={"answer_id": answer["id"]}).status_code == 422


def test_sixteen_people_ask_at_once(server: RunningServer) -> None:
    def one(n: int) -> str:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            return str(ask(client, QUESTIONS[n % len(QUESTIONS)])["status"])

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        together = list(pool.map(one, range(48)))
    alone = [one(n) for n in range(len(QUESTIONS))]
    assert together == [alone[n % len(QUESTIONS)] for n in range(48)]
