"""Metrics in the text format of Prometheus."""

from __future__ import annotations

import re
import threading

import pytest

from web.metrics import Metrics

LABEL = r'[a-z_]+="([^"\\\n]|\\["\\n])*"'
LINE = re.compile(rf"[a-z_]+(\{{({LABEL}(,{LABEL})*)?\}})? [0-9.]+")


def lines_of(metrics: Metrics) -> list[str]:
    text = metrics.render()
    assert text.endswith("\n")
    found = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in found), text
    return found


def test_nothing_counted_yet() -> None:
    assert lines_of(Metrics()) == []


def test_counts_by_label() -> None:
    metrics = Metrics()
    metrics.count("answers", status="answered", language="en")
    metrics.count("answers", language="en", status="answered")
    metrics.count("answers", status="declined", language="vi")
    metrics.count("starts")
    assert lines_of(metrics) == [
        'guitu_answers_total{language="en",status="answered"} 2',
        'guitu_answers_total{language="vi",status="declined"} 1',
        "guitu_starts_total{} 1",
    ]


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", 'x"} 9\nguitu_answers_total{status="answered'])
def test_a_label_cannot_break_out_of_its_line(value: str) -> None:
    metrics = Metrics()
    metrics.count("answers", status=value)
    assert len(lines_of(metrics)) == 1


def test_durations_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.004, 10.0, 10.3, 20.0, 40.0])
    monkeypatch.setattr("web.metrics.time.perf_counter", lambda: next(times))
    metrics = Metrics()
    for _ in range(3):
        with metrics.timed("ask"):
            pass
    found = dict(line.rsplit(" ", 1) for line in lines_of(metrics))
    buckets = [int(n) for name, n in found.items() if name.startswith("guitu_ask_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert found['guitu_ask_seconds_bucket{le="0.005"}'] == "1"
    assert found['guitu_ask_seconds_bucket{le="0.25"}'] == "1"
    assert found['guitu_ask_seconds_bucket{le="0.5"}'] == "2"
    assert found['guitu_ask_seconds_bucket{le="5"}'] == "2"
    assert found['guitu_ask_seconds_bucket{le="+Inf"}'] == found["guitu_ask_seconds_count"] == "3"
    assert float(found["guitu_ask_seconds_sum"]) == pytest.approx(20.304)


def test_what_fails_is_timed_too() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="no"), metrics.timed("ask"):
        raise ValueError("no")
    assert "guitu_ask_seconds_count 1" in lines_of(metrics)


def test_no_count_is_lost_between_threads() -> None:
    metrics = Metrics()

    def work() -> None:
        for _ in range(500):
            metrics.count("answers", status="answered")
            with metrics.timed("ask"):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lines_of(metrics)
    assert 'guitu_answers_total{status="answered"} 4000' in found
    assert "guitu_ask_seconds_count 4000" in found
