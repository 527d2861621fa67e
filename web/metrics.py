"""Counts and durations for Prometheus; labels never hold what a person typed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """All counters of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self._buckets: dict[str, Counter[float]] = {}
        self._sums: dict[str, float] = {}

    def count(self, name: str, **labels: str) -> None:
        """Adds one to `guitu_<name>_total`."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += 1

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measures the block as `guitu_<name>_seconds`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            with self._lock:
                buckets = self._buckets.setdefault(name, Counter())
                buckets[next((b for b in _BUCKETS_S if elapsed <= b), float("inf"))] += 1
                self._sums[name] = self._sums.get(name, 0.0) + elapsed

    def render(self) -> str:
        """Everything, in the text format 0.0.4."""
        lines = []
        with self._lock:
            for (name, labels), n in sorted(self._counts.items()):
                lines.append(sample(f"{name}_total", n, **dict(labels)))
            for name, buckets in sorted(self._buckets.items()):
                below = 0
                for bound in (*_BUCKETS_S, float("inf")):
                    below += buckets[bound]
                    shown = "+Inf" if bound == float("inf") else f"{bound:g}"
                    lines.append(f'guitu_{name}_seconds_bucket{{le="{shown}"}} {below}')
                lines.append(f"guitu_{name}_seconds_sum {self._sums[name]:.6f}")
                lines.append(f"guitu_{name}_seconds_count {below}")
        return "\n".join(lines) + "\n"


def sample(name: str, value: float, **labels: str) -> str:
    """One line of the text format: `guitu_<name>` with its labels."""
    inner = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
    return f"guitu_{name}{{{inner}}} {value}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
