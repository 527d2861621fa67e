"""One question is embedded once in each thread, and nothing of its words is held."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval import EmbedderError, HashEmbedder
from web.once import OnceEmbedder


class Counting(HashEmbedder):
    """Counts what it is asked to embed."""

    def __init__(self) -> None:
        super().__init__(16)
        self.n_calls = 0
        self.fails = False

    def embed_query(self, text: str) -> NDArray[np.float32]:
        self.n_calls += 1
        if self.fails:
            raise EmbedderError("broken")
        return super().embed_query(text)


def test_the_same_question_is_embedded_once() -> None:
    inner = Counting()
    once = OnceEmbedder(inner)
    first = once.embed_query("怎么打")
    assert once.embed_query("怎么打") is first
    assert inner.n_calls == 1
    np.testing.assert_array_equal(first, HashEmbedder(16).embed_query("怎么打"))
    np.testing.assert_array_equal(once.embed_query("别的"), HashEmbedder(16).embed_query("别的"))
    # Only the last is remembered.
    once.embed_query("怎么打")
    assert inner.n_calls == 3


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "a" * 100_000, "\ufdfa" * 5000])
def test_strange_text_does_no_harm(text: str) -> None:
    inner = Counting()
    once = OnceEmbedder(inner)
    np.testing.assert_array_equal(once.embed_query(text), once.embed_query(text))
    assert inner.n_calls == 1


def test_a_failure_is_not_remembered_and_harms_nothing() -> None:
    inner = Counting()
    once = OnceEmbedder(inner)
    first = once.embed_query("一")
    inner.fails = True
    for _ in range(2):
        with pytest.raises(EmbedderError):
            once.embed_query("二")
    assert inner.n_calls == 3
    assert once.embed_query("一") is first
    inner.fails = False
    np.testing.assert_array_equal(once.embed_query("二"), HashEmbedder(16).embed_query("二"))


def test_the_rest_is_passed_on() -> None:
    inner = Counting()
    once = OnceEmbedder(inner)
    assert (once.name, once.dim, once.backend) == (inner.name, 16, "hash")
    np.testing.assert_array_equal(once.embed_passages(["a", "b"]), inner.embed_passages(["a", "b"]))
    with pytest.raises(AttributeError):
        _ = once.nothing


def test_threads_do_not_see_each_others_vectors() -> None:
    once = OnceEmbedder(Counting())
    wrong: list[str] = []

    def work(text: str) -> None:
        expected = HashEmbedder(16).embed_query(text)
        wrong.extend(text for _ in range(200) if not np.array_equal(once.embed_query(text), expected))

    threads = [threading.Thread(target=work, args=(f"问题{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_words_are_not_kept() -> None:
    once = OnceEmbedder(Counting())
    secret = "".join(["我的", "秘密", "很长"])
    once.embed_query(secret)
    gc.collect()
    held = [value for value in vars(once._last).values() if isinstance(value, str)]
    assert held == []
    assert secret.encode() not in b"".join(v for v in vars(once._last).values() if isinstance(v, bytes))
