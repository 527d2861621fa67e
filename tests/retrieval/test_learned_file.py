"""Files of learned numbers: written, read, and refused when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval import EmbedderError, number_lines, read_blocks
from retrieval.errors import LearnedFileError
from retrieval.question_space import QuestionSpace
from retrieval.reranker import Reranker


def test_what_is_written_is_read() -> None:
    blocks = [np.array([1.0, -0.5, 0.12344]), np.array([[2.0, 0.0], [0.0001, -3.0]])]
    one, two = read_blocks(number_lines(blocks), [(3,), (2, 2)])
    np.testing.assert_allclose(one, blocks[0], atol=5e-5)
    np.testing.assert_allclose(two, blocks[1], atol=5e-5)


@pytest.mark.parametrize(
    ("kind", "command", "damage"),
    [
        *((QuestionSpace, "train_question_space", text) for text in ("", "1 2\n3", "2 2 1\n1 2 3", "2 2 1\nx")),
        *((Reranker, "train_reranker", text) for text in ("", "6 8 4\n1 2 3", "6 8 4 5\n1 2 3\n", "six 8 4 5\n")),
    ],
)
def test_a_damaged_file_is_refused_with_the_remedy(
    tmp_path: Path, kind: type[QuestionSpace | Reranker], command: str, damage: str
) -> None:
    path = tmp_path / "learned.txt"
    path.write_text(damage, "utf-8")
    with pytest.raises(EmbedderError, match=command) as caught:
        kind.load(path)
    assert isinstance(caught.value, LearnedFileError)
