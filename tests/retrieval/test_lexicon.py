"""The lexicon: all names of one thing meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.errors import CorpusError
from retrieval.lexicon import Lexicon

TEXT = """\
places:
- {id: myanmar, names: {zh-Hans: [缅甸], en: [Myanmar, Burma]}, country: MM, kind: country, high_risk: true}
- id: myawaddy
  names: {zh-Hans: [妙瓦底, 苗瓦迪], en: [Myawaddy], th: [เมียวดี], vi: [Miến Điện Đông]}
  country: MM
  kind: town
  high_risk: true
  meaning: {zh-Hans: 缅甸边境的城镇}
- {id: kk, names: {zh-Hans: [KK园区], en: [KK Park, KK]}, country: MM, kind: compound}
- {id: kokang, names: {zh-Hans: [果敢]}, kind: region}
slang:
- {id: piglet, terms: {zh-Hans: [猪仔]}, same_as: [人肉货], meaning: {en: a person sold}}
institutions:
- {id: mps, names: {zh-Hans: [公安部], en: [Ministry of Public Security, MPS]}, country: CN}
- {id: mm-embassy, names: {zh-Hans: [缅甸大使馆, 缅使馆], en: [Embassy of Burma]}, country: MM}
"""


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Lexicon:
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.yaml"
    path.write_text(TEXT, "utf-8")
    return Lexicon.load(path)


def found(lexicon: Lexicon, text: str) -> list[str]:
    return [entry.entry_id for entry in lexicon.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他在妙瓦底", ["myawaddy"]),
        ("他在苗瓦迪和果敢", ["myawaddy", "kokang"]),
        ("緬甸", ["myanmar"]),  # the traditional form of a simplified name
        ("in MYAWADDY, Burma", ["myawaddy", "myanmar"]),
        ("อยู่ที่เมียวดีครับ", ["myawaddy"]),
        ("o mien dien dong", ["myawaddy"]),  # typed without diacritics
        ("KK园区在哪", ["kk"]),
        ("he was in KK Park", ["kk"]),
        ("他被卖到KK了", ["kk"]),
        ("the ＫＫ　Ｐａｒｋ", ["kk"]),
        ("kkk and Burmas", []),
        ("被当成人肉货", ["piglet"]),
        ("公安部（MPS）", ["mps"]),
        ("", []),
    ],
)
def test_find(lexicon: Lexicon, text: str, expected: list[str]) -> None:
    assert found(lexicon, text) == expected


def test_all_names_of_a_thing_give_one_term(lexicon: Lexicon) -> None:
    terms = {tuple(lexicon.entity_terms(name)) for name in ("妙瓦底", "Myawaddy", "เมียวดี", "苗瓦迪")}
    assert len(terms) == 1
    (town,) = terms
    assert town[0] not in lexicon.entity_terms("果敢")


def test_a_place_brings_its_country(lexicon: Lexicon) -> None:
    (country,) = lexicon.entity_terms("缅甸")
    assert country in lexicon.entity_terms("妙瓦底")
    assert lexicon.country_terms(["MM", "XX"]) == [country]
    assert country not in lexicon.entity_terms("果敢")


def test_the_country_in_the_name_of_an_institution_counts(lexicon: Lexicon) -> None:
    assert found(lexicon, "缅甸大使馆的电话") == ["mm-embassy", "myanmar"]
    assert found(lexicon, "the embassy of burma") == ["mm-embassy", "myanmar"]
    # A name that does not hold the country's says nothing of it, nor is a place of another country meant.
    assert found(lexicon, "缅使馆") == ["mm-embassy"]
    assert found(lexicon, "公安部") == ["mps"]


def test_every_country_is_known_for_one(lexicon: Lexicon) -> None:
    (iceland,) = lexicon.entity_terms("驻冰岛大使馆的电话")
    assert lexicon.entity_terms("the embassy in Iceland") == lexicon.entity_terms("駐冰島大使館") == [iceland]
    # Names that stand in other words are left out, and what the lexicon tells itself is not doubled.
    for text in ("内蒙古商报", "电话卡达到二十张", "上海地区", "cuba lari"):
        assert lexicon.entity_terms(text) == []
    assert len(lexicon.find("缅甸")) == 1


def test_no_text_can_hold_an_entity_term_by_itself(lexicon: Lexicon) -> None:
    from retrieval.analyze import terms

    (term,) = lexicon.entity_terms("缅甸")
    assert term not in terms(term)


def test_entries(lexicon: Lexicon) -> None:
    entry = next(e for e in lexicon.entries if e.entry_id == "myawaddy")
    assert entry.names["en"] == ("Myawaddy",)
    assert (entry.country, entry.is_high_risk, entry.group, entry.kind) == ("MM", True, "places", "town")
    assert entry.meaning == {"zh-Hans": "缅甸边境的城镇"}
    assert next(e for e in lexicon.entries if e.entry_id == "piglet").names["zh-Hans"] == ("猪仔",)


def test_the_digest_follows_the_names(lexicon: Lexicon, tmp_path: Path) -> None:
    path = tmp_path / "lexicon.yaml"
    path.write_text(TEXT.replace("缅甸边境的城镇", "城镇"), "utf-8")
    assert Lexicon.load(path).digest == lexicon.digest
    path.write_text(TEXT.replace("苗瓦迪", "渺瓦底"), "utf-8")
    assert Lexicon.load(path).digest != lexicon.digest
    assert Lexicon().digest != lexicon.digest


def test_none_is_an_empty_lexicon(tmp_path: Path) -> None:
    lexicon = Lexicon.load(tmp_path / "lexicon.yaml")
    assert lexicon.entries == ()
    assert lexicon.find("妙瓦底") == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"places: [", "cannot be read as YAML"),
        (b"\xff", "cannot be read as YAML"),
        (b"- a\n", "must hold the lists"),
        (b"places:\n- {id: kk}\n", "the entry 'kk' in places"),
        (b"places:\n- {names: {en: [a]}}\n", "the entry '\\?' in places"),
        (b"places:\n- kk\n", "the entry 'kk' in places"),
        (b"slang:\n- {id: a, names: {en: [a]}}\n", "the entry 'a' in slang"),
    ],
)
def test_broken(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "lexicon.yaml"
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=words) as caught:
        Lexicon.load(path)
    assert str(path) in str(caught.value)
