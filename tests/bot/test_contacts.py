"""The contact list: what is read, what may be shown, and to whom."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from bot.contacts import SHOWN_CONFIDENCES, ContactList, is_old, unique
from bot.errors import ContactsError
from bot.types import SITUATIONS, Contact
from retrieval import Source

CORPUS_LIST = Path(__file__).resolve().parents[2] / "corpus" / "contacts.yaml"


def contact(
    contact_id: str,
    country: str,
    *,
    serves: tuple[str, ...] = (),
    kind: str = "police",
    dials: tuple[str, ...] = ("*",),
    priority: int = 50,
    situations: tuple[str, ...] = ("trapped", "family"),
    confidence: str = "high",
    checked: str = "2026-01-01",
) -> Contact:
    return Contact(
        contact_id=contact_id,
        names={"en": contact_id},
        number="+000",
        local=None,
        country=country,
        serves=serves,
        kind=kind,
        situations=situations,
        dials_from=dials,
        channels=("phone",),
        address=None,
        hours=None,
        languages=(),
        priority=priority,
        checked=checked,
        confidence=confidence,
        sources=(Source("p", "t", None, None),),
    )


LIST = ContactList(
    [
        contact("cn-consular", "CN", serves=("CN", "HK"), kind="consular", priority=10),
        contact("cn-embassy-mm", "MM", serves=("CN",), kind="embassy", priority=20),
        contact("cn-embassy-th", "TH", serves=("CN",), kind="embassy", priority=20),
        contact("cn-police", "CN", dials=("CN",), priority=5),
        contact("mm-police", "MM", dials=("MM",), priority=6),
        contact("mm-ngo", "MM", kind="ngo", priority=60, situations=("returned",)),
        contact("th-police", "TH", dials=("TH",), priority=1),
        contact("vn-consular", "VN", serves=("VN",), kind="consular", priority=10),
        contact("mm-crisis", "MM", kind="crisis-line", priority=1),
        contact("rumour", "MM", confidence="low", priority=0),
    ]
)


def ids(**wanted: object) -> list[str]:
    return [c.contact_id for c in LIST.select(**wanted)]  # type: ignore[arg-type]


def test_only_what_was_checked_well_is_held() -> None:
    assert "rumour" not in LIST.by_id
    assert "rumour" not in ids()
    assert len(LIST.contacts) == 9


def test_with_nothing_known_every_contact_is_given_by_priority() -> None:
    found = ids()
    assert set(found) == set(LIST.by_id)
    assert found[0] == "th-police"
    assert found[-1] == "mm-crisis"  # lines for the mind stand last though their priority is the highest


def test_ones_own_authority_comes_first_then_the_lines_where_one_is() -> None:
    assert ids(nationality="CN", country="MM") == [
        "cn-consular",
        "cn-embassy-mm",
        "mm-police",
        "mm-ngo",
        "mm-crisis",
    ]
    assert ids(nationality="VN", country="MM") == ["vn-consular", "mm-police", "mm-ngo", "mm-crisis"]
    assert ids(nationality="CN", country="MM", most=2) == ["cn-consular", "cn-embassy-mm"]


def test_the_embassy_in_a_third_country_is_never_shown() -> None:
    for country in ("MM", "LA", "KH", "CN", "VN"):
        assert "cn-embassy-th" not in ids(nationality="CN", country=country)
    assert "cn-embassy-th" in ids(nationality="CN", country="TH")


def test_the_lines_of_others_are_never_shown() -> None:
    assert not {"vn-consular", "th-police"} & set(ids(nationality="CN", country="MM"))
    assert not {"cn-consular", "cn-embassy-mm"} & set(ids(nationality="VN", country="MM"))
    assert "cn-consular" in ids(nationality="HK", country="MM")


def test_with_the_country_alone_no_nationality_is_assumed() -> None:
    assert ids(country="MM") == ["mm-police", "mm-ngo", "mm-crisis"]
    assert ids(country="XX") == []


def test_with_the_nationality_alone_embassies_stand_behind() -> None:
    assert ids(nationality="CN") == ["cn-consular", "cn-police", "cn-embassy-mm", "cn-embassy-th"]


def test_what_cannot_be_dialled_from_there_is_left_out() -> None:
    # 110 answers inside China alone.
    assert "cn-police" in ids(nationality="CN", country="CN")
    assert "cn-police" not in ids(nationality="CN", country="MM")


def test_the_situation_narrows_and_general_does_not() -> None:
    assert ids(nationality="CN", country="MM", situation="returned") == ["mm-ngo"]
    assert ids(nationality="CN", country="MM", situation="general") == ids(nationality="CN", country="MM")
    assert ids(nationality="CN", country="MM", situation="nothing of ours") == []


def test_the_order_does_not_hang_on_the_order_of_the_file() -> None:
    turned = ContactList(reversed(LIST.contacts))
    assert turned.select(nationality="CN", country="MM") == LIST.select(nationality="CN", country="MM")


@pytest.mark.parametrize(
    ("checked", "old"),
    [
        ("2026-01-01", False),
        ("2025-01-01", False),
        ("2024-12-31", True),
        ("", True),
        ("2025", True),
        ("not a date", True),
        ("2027-01-01", False),
    ],
)
def test_is_old(checked: str, old: bool) -> None:
    one = replace(LIST.contacts[0], checked=checked)
    assert is_old(one, dt.date(2026, 1, 1), 365) is old


def test_unique_keeps_the_first_place() -> None:
    a, b = LIST.contacts[:2]
    assert unique([b, a, b]) == (b, a)
    assert unique([]) == ()


RECORD = """- id: {id}
  names: {{en: A line}}
  number: {number}
  country: {country}
  for: {serves}
  dials_from: ['*']
  checked: 2026-01-19
  confidence: {confidence}
  sources:
    - {{publisher: p, title: t, url: null, date: 2026-01-19}}
"""


def record(
    contact_id: str = "a-line",
    *,
    number: str = '"+86-10-12308"',
    country: str = "CN",
    serves: str = "ALL",
    confidence: str = "high",
) -> str:
    return RECORD.format(id=contact_id, number=number, country=country, serves=serves, confidence=confidence)


def test_a_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "contacts.yaml"
    path.write_text(record() + record("no-line", country="NO", serves="[NO, SE]"))
    first, second = ContactList.load(path).contacts
    assert (first.number, first.serves, first.checked, first.local) == (
        "+86-10-12308",
        (),
        "2026-01-19",
        None,
    )
    assert (first.kind, first.priority, first.channels) == ("ngo", 50, ("phone",))
    # YAML reads NO as false; the country is Norway.
    assert (second.country, second.serves) == ("NO", ("NO", "SE"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no list of records"),
        ("[]", "no list of records"),
        ("a: 1", "no list of records"),
        ("[: [", "cannot be read"),
        ("- {id: a-line}", "'a-line' is not as it should be"),
        ("- just text", "'just text' is not as it should be"),
        (record() + record(), "'a-line' is used twice"),
        (record(number="null"), "needs a number or address"),
        (record(number="''"), "needs a number or address"),
        (record().split("  sources")[0] + "  sources: []\n", "and a source"),
        (record().replace("names: {en: A line}", "names: text"), "not as it should be"),
        (record().replace("for: ALL", "for: 5"), "not as it should be"),
    ],
)
def test_a_bad_list_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "contacts.yaml"
    path.write_text(text)
    with pytest.raises(ContactsError, match=r"contacts\.yaml") as raised:
        ContactList.load(path)
    assert words in str(raised.value)


def test_a_missing_or_binary_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContactsError, match="restore it"):
        ContactList.load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContactsError, match="restore it"):
        ContactList.load(tmp_path / "bad.yaml")


def test_the_list_of_the_corpus_keeps_its_promises() -> None:
    contacts = ContactList.load(CORPUS_LIST)
    assert len(contacts.contacts) > 10
    known = {c.country for c in contacts.contacts}
    nationalities = {n for c in contacts.contacts for n in c.serves}
    for nationality in sorted(nationalities):
        for country in sorted(known):
            for found in contacts.select(nationality=nationality, country=country):
                assert found.confidence in SHOWN_CONFIDENCES
                assert not (found.kind == "embassy" and found.country != country), found.contact_id
                assert not found.serves or nationality in found.serves
                assert "*" in found.dials_from or country in found.dials_from
    assert {s for c in contacts.contacts for s in c.situations} <= set(SITUATIONS)
