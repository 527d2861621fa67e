"""The command line, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.web.processes import copy_data, guitu, running_server

pytestmark = pytest.mark.model

CRAWLED = """---
title: 关注 | 星港园区被查
url: https://mp.weixin.qq.com/s?__biz=AAA==&mid=1&idx=1&sn=abc&chksm=1&scene=58#rd
source: 边城晚报
date: 2026-03-02
fetch_date: 2026-03-03T10:00:00
---

# 关注 | 星港园区被查

![cover_image](https://example.org/a.png)

边城晚报

**扫码订阅《边城晚报》**

2026年3月1日，边城警方在星港园区解救了317名被困人员，其中42人是学生。警方说，这些人是被网上的高薪客服招聘骗去的。

被解救的人已经在3月2日从北门口岸回国，家属可以向边城警方登记。

（来源：边城警方）

预览时标签不可点

阅读原文

微信扫一扫
关注该公众号
"""


@pytest.fixture
def data(built_data: Path, tmp_path: Path) -> Path:
    return copy_data(built_data, tmp_path / "data")


def test_a_crawled_file_is_ingested_and_answers(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "000_a.txt"
    file.write_text(CRAWLED, "utf-8")
    dry = guitu("ingest", str(file), "--dry-run", data=data)
    assert dry.stdout.startswith("added\t")
    assert not (data / "articles").exists()
    added = guitu("ingest", str(file), "--json", data=data)
    assert added.returncode == 0, added.stderr
    outcome = json.loads(added.stdout)[0]
    assert outcome["outcome"] == "added"
    again = guitu("ingest", str(file), data=data)
    assert again.returncode == 0
    assert again.stdout.startswith("duplicate\t")
    answer = guitu("ask", "星港园区解救了多少人？", "--json", data=data)
    body = json.loads(answer.stdout)
    assert body["status"] == "answered"
    assert "317名" in body["sentences"][0]["text"]
    assert body["citations"][0]["publisher"] == "边城晚报"
    assert "扫一扫" not in answer.stdout
    hits = json.loads(guitu("search", "星港园区", "-k", "3", "--json", data=data).stdout)
    assert hits[0]["article_id"] == outcome["article_id"]
    repost = tmp_path / "001_b.txt"
    repost.write_text(
        CRAWLED.replace("边城晚报", "转载天地").replace("mid=1", "mid=2").replace("03-02\n", "03-05\n"),
        "utf-8",
    )
    reposted = json.loads(guitu("ingest", str(repost), "--json", data=data).stdout)[0]
    assert reposted["outcome"] == "added"
    assert reposted["repost_of"] == outcome["article_id"]
    body = json.loads(guitu("ask", "星港园区解救了多少人？", "--json", data=data).stdout)
    assert next(c["publisher"] for c in body["citations"]) == "边城晚报"
    assert "转载天地" not in [c["publisher"] for c in body["citations"]]
    assert body["citations"][0]["n_reprints"] == 1


def test_a_pasted_offer_shows_its_signs(data: Path) -> None:
    pasted = "Customer service in Thailand, salary 3000 USD, no experience needed, flight paid, tourist visa"
    _, _, *signs = guitu("check-offer", "--text", pasted, data=data).stdout.splitlines()
    assert len(signs) > 4
    assert set(signs) <= set(guitu("ask", pasted, data=data).stdout.splitlines())


def test_rejected_sources_are_named_and_lose_nothing(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text(CRAWLED, "utf-8")
    (folder / "b.txt").write_text("no front matter", "utf-8")
    (folder / "c.txt").write_bytes(CRAWLED.encode("gb18030"))
    (folder / "d.txt").write_bytes(b"\x00\x01\x02")
    done = guitu("ingest", str(folder), str(tmp_path / "none.txt"), "--no-index", data=data)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert sum(line.startswith("rejected: ") for line in lines) == 4
    assert sum(line.startswith("added") for line in lines) == 1
    assert "Traceback" not in done.stderr


def test_a_withdrawn_article_is_gone_from_a_running_server(data: Path) -> None:
    with running_server(data) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        body = client.post("/v1/ask", json={"question": "从国外拨打12308用什么号码？"}).json()
        article_id = body["citations"][0]["article_id"]
        assert guitu("withdraw", article_id, data=data).returncode == 0
        after = client.post("/v1/ask", json={"question": "从国外拨打12308用什么号码？"}).json()
        assert article_id not in [c["article_id"] for c in after["citations"]]
        assert client.get(f"/v1/articles/{article_id}").status_code == 404
        assert client.get(f"/articles/{article_id}").status_code in (404, 410)


def test_errors_are_one_plain_line(data: Path, tmp_path: Path) -> None:
    for arguments in (
        ["ask", ""],
        ["withdraw", "no-such-article"],
        ["evaluate", "--beir", str(tmp_path)],
        ["check-offer", "--file", str(tmp_path / "none")],
        ["check-offer", "--image", str(tmp_path / "none")],
    ):
        done = guitu(*arguments, data=data)
        assert done.returncode == 1, arguments
        assert done.stderr.strip().splitlines()[-1].startswith("guitu: ")
        assert "Traceback" not in done.stderr
    assert guitu("no-such-command", data=data).returncode == 2
    assert guitu("search", "x", "-k", "0", data=data).returncode == 2


def test_an_unknown_setting_is_refused_by_name(data: Path) -> None:
    done = guitu("index", "status", data=data, GUITU_PUBLIC_ULR="x")
    assert done.returncode == 1
    assert "GUITU_PUBLIC_ULR" in done.stderr
    assert "GUITU_PUBLIC_URL" in done.stderr


def test_status_names_model_and_counts(data: Path) -> None:
    status = json.loads(guitu("index", "status", "--json", data=data).stdout)
    assert status["model"]["dim"] == 384
    assert status["counts"]["articles"] > 100
    assert status["backend"]["name"] in ("openvino", "sentence-transformers")
    assert status["is_current"] is True


def test_a_damaged_index_is_refused_with_the_remedy(data: Path) -> None:
    generation = data / "index" / (data / "index" / "current").read_text().strip()
    (generation / "passages.faiss").write_bytes(b"nonsense")
    done = guitu("index", "status", data=data)
    assert done.returncode == 1
    assert "guitu index build" in done.stderr


def test_beir_folders_are_measured(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    corpus = [
        {"_id": "a", "title": "", "text": "昆明四季如春。"},
        {"_id": "b", "title": "", "text": "The river flows to the sea."},
    ]
    queries = [{"_id": "q1", "text": "昆明的天气"}, {"_id": "q2", "text": "where does the river flow"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(r) + "\n" for r in corpus), "utf-8")
    (folder / "queries.jsonl").write_text("".join(json.dumps(r) + "\n" for r in queries), "utf-8")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\tb\t1\n", "utf-8")
    run = tmp_path / "run.txt"
    done = guitu("evaluate", "--beir", str(folder), "--run", str(run), "--json", data=data)
    measures = json.loads(done.stdout)
    assert measures["Recall@1"] == 1.0
    assert measures["nDCG@10"] == 1.0
    assert {
        "MRR@10",
        "Recall@5",
        "Recall@10",
        "Recall@100",
        "passages_per_s",
        "query_ms_p50",
        "query_ms_p95",
    } <= set(measures)
    assert len(run.read_text().splitlines()) == 4
    assert run.read_text().split()[:4] == ["q1", "Q0", "a", "1"]
