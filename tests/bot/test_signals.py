"""Which patterns are looked for in a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.signals import Signals, scripts_in


@pytest.fixture
def signals(tmp_path: Path) -> Signals:
    path = tmp_path / "signals.yaml"
    path.write_text(
        """
papers: {weight: 1, phrases: {zh: ['(护照|passport lost)']}}
held: {weight: 1, phrases: {zh: [被关], ko: ['갇(혔|힌)'], my: [ပိတ်မိ], en: [locked in]}}
loud: {weight: 1, phrases: {zh: ['[!！]{2}']}}
""",
        "utf-8",
    )
    return Signals.load(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("护照被收了", {"papers"}),
        ("passport lost ครับ", {"papers"}),
        ("他被关在楼里", {"held"}),
        ("친구가 갇혔어요", {"held"}),
        ("ပိတ်မိနေတယ်", {"held"}),
        ("we are LOCKED in", {"held"}),
        ("เขา locked in", {"held"}),
        # What needs no script is looked for wherever there is another one than Latin.
        ("ช่วย!!", {"loud"}),
        ("", set()),
    ],
)
def test_each_script_is_looked_for_where_it_occurs(signals: Signals, text: str, found: set[str]) -> None:
    assert signals.find(text) == found


def test_scripts() -> None:
    assert scripts_in("Passport é ế 123") == frozenset()
    assert scripts_in("护照カ") == scripts_in("照")
    assert len(scripts_in("护 갇 ไ ပ")) == 4
