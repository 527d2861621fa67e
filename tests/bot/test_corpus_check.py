"""The corpus linter: a sound corpus passes, each broken sample is named with its file and line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.corpus_check import CHINESE_CHARS, Finding, check_corpus, numbers_to_call

TODAY = dt.date(2026, 6, 1)
MAX_AGE_DAYS = 365

CONTACTS = """\
- id: hotline
  names: {zh-Hans: 热线, en: Hotline}
  number: "+86-10-12308"
  local: "12308"
  country: CN
  for: [CN]
  kind: consular
  situations: [trapped]
  dials_from: ['*']
  channels: [phone]
  short_code: true
  checked: 2026-01-19
  confidence: high
  sources:
    - {publisher: 甲报, title: 一则消息, url: 'https://example.org/1', date: 2026-01-19}

- id: embassy
  names: {zh-Hans: 使馆, en: Embassy}
  number: "+855-23-210206"
  local: 023-210206
  country: KH
  for: [CN]
  kind: embassy
  situations: [trapped]
  dials_from: [KH]
  channels: [phone]
  short_code: false
  checked: 2026-01-17
  confidence: medium
  sources:
    - {publisher: 乙署, title: 一份通知, url: null, date: 2026-01-17}
"""
LEXICON = "places:\n- {id: kk, names: {en: [KK Park], zh-Hans: [KK园区]}, kind: compound}\n"
# Line 1 is '---'; the sources stand on lines 11 and 12, the heading on 14, the text from 15.
HEAD = """\
---
id: zh-a
title: "在国外遇到危险，先打哪个电话？"
lang: zh-Hans
date: 2026-05-01
kind: guide
topics: [hotline]
countries: [CN]
translation_of: null
sources:
  one: {publisher: 甲报, title: 一则消息, url: "https://example.org/1", date: 2026-01-19}
  two: {publisher: 乙署, title: 一份通知, url: "https://example.org/2", date: 2026-01-17}
---
"""
BODY = """\
## 在国外遇到危险，先打哪个电话？
在国外遇到危险的中国公民，可以从境外拨打+86-10-12308，在中国境内直接拨12308。[^one]
中国驻柬埔寨大使馆的领保电话是+855-23-210206，在当地拨023-210206。[^two]
## 打通以后要说些什么？
打通领事保护热线以后，先说清楚自己在哪个国家、哪座城市，再说周围看得见的建筑、河流和道路。[^one]
被人看守、不方便说话的人，可以先用文字发出位置，等到身边没有看守的时候再补充自己的姓名和护照号。[^two]
领事官员会把求助情况转给相关的驻外使领馆，由使领馆请当地警方前去核实，并把进展告诉国内的亲属。[^one]
## 家里人能做些什么？
国内的亲属可以向户籍所在地的派出所报案，把聊天记录、转账凭证和最后一次联系的时间都交给民警。[^two]
亲属收到陌生人索要赎金的消息时，应当先告诉警方，不要自己汇款，也不要请收费的“中间人”出面。[^one]
"""
N_TEXT_LINES = 10


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus folder without fault."""
    folder = tmp_path / "corpus"
    (folder / "articles" / "zh-Hans").mkdir(parents=True)
    (folder / "contacts.yaml").write_text(CONTACTS, "utf-8")
    (folder / "lexicon.yaml").write_text(LEXICON, "utf-8")
    (folder / "articles" / "zh-Hans" / "zh-a.md").write_text(HEAD + BODY, "utf-8")
    return folder


def check(corpus: Path) -> list[Finding]:
    return check_corpus(corpus, max_age_days=MAX_AGE_DAYS, today=TODAY)


def article(corpus: Path, text: str, name: str = "zh-a.md") -> Path:
    path = corpus / "articles" / "zh-Hans" / name
    path.write_text(text, "utf-8")
    return path


def test_a_sound_corpus_has_no_findings(corpus: Path) -> None:
    assert check(corpus) == []


def test_the_sound_body_has_the_lines_that_the_samples_name() -> None:
    assert HEAD.count("\n") == 13
    assert BODY.count("\n") == N_TEXT_LINES


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1, f"the sound sample lacks {old!r}"
    return text.replace(old, new, 1)


# id: (what is replaced in the sound article, by what, line of the finding, words of its message)
BROKEN_ARTICLES = {
    "number wrong by one digit": (
        "拨打+86-10-12308",
        "拨打+86-10-12309",
        15,
        "'+86-10-12309' is not in contacts",
    ),
    "short code not in the list": ("直接拨12308", "直接拨12380", 15, "'12380' is not in contacts"),
    "local form not in the list": ("拨023-210206", "拨023-210207", 16, "'023-210207' is not in contacts"),
    "three-digit code not in the list": ("先告诉警方", "先拨打118告诉警方", 23, "'118' is not in contacts"),
    "figure without a footnote": (
        "亲属。[^one]\n",
        "亲属。[^one]\n2025年有30人获救。\n",
        21,
        "a sentence with a figure has",
    ),
    "sentence without a footnote": (
        "户籍所在地的派出所报案，",
        "派出所报案。也可以",
        22,
        "a sentence has no footnote",
    ),
    "marker without record": ("护照号。[^two]", "护照号。[^three]", 19, "[^three] has no record"),
    "unused record": (
        "  two: {",
        "  three: {publisher: 丙, title: 丁, url: null, date: 2026-01-01}\n  two: {",
        12,
        "'three' is used by no sentence",
    ),
    "source without date": (", date: 2026-01-17}", "}", 12, "source 'two' lacks 'date'"),
    "source without publisher": ("{publisher: 乙署, ", "{", 12, "source 'two' lacks 'publisher'"),
    "source from the future": ("date: 2026-01-17}", "date: 2027-01-17}", 12, "in the future"),
    "source that is no link": (
        '"https://example.org/2"',
        '"javascript:alert(1)"',
        12,
        "is no http(s) address",
    ),
    "language of the article": ("lang: zh-Hans", "lang: zh-Hant", 4, "the text reads as 'zh-Hans'"),
    "language that we do not have": ("lang: zh-Hans", "lang: zh", 4, "lang 'zh' is none of"),
    "sentence in another language": (
        "领事官员会把求助情况转给相关的驻外使领馆，由使领馆请当地警方前去核实，",
        "The consular officer passes the request for help to the mission concerned, ",
        20,
        "this sentence reads as 'en'",
    ),
    "sentence in the other script": (
        "领事官员会把求助情况转给相关的驻外使领馆，由使领馆请当地警方前去核实，并把进展告诉国内的亲属",
        "領事官員會把求助情況轉給相關的駐外使領館，由使領館請當地警方前去核實，並把進展告訴國內的親屬",
        20,
        "this sentence reads as 'zh-Hant'",
    ),
    "translation of nothing": ("translation_of: null", "translation_of: en-a", 9, "names no article: 'en-a'"),
    "translation of itself": ("translation_of: null", "translation_of: zh-a", 9, "of the same language"),
    "date from the future": ("date: 2026-05-01", "date: 2026-07-01", 5, "lies in the future"),
    "no date": ("date: 2026-05-01\n", "", 1, "'date' is missing"),
    "date that is none": ("date: 2026-05-01", "date: soon", 5, "'date' is no date"),
    "country that is none": ("countries: [CN]", "countries: [China]", 8, "'China' is no code"),
    "key twice": ("topics: [hotline]", "topics: [hotline]\ntopics: [law]", 8, "'topics' is written twice"),
    "markup": ("先告诉警方", "**先告诉警方**", 23, "markup would be quoted"),
    "heading without text": (
        "## 家里人能做些什么？\n",
        "## 家里人能做些什么？\n## 还有呢？\n",
        21,
        "no text below it",
    ),
    "sentence said twice": (
        "## 家里人",
        "被人看守、不方便说话的人，可以先用文字发出位置，等到身边没有看守的时候再补充自己的姓名和护照号。[^two]\n"
        "## 家里人",
        20 + 1,
        "says this twice",
    ),
    "front matter that is no YAML": ("  two: {", "\ttwo: {", 12, "cannot be read"),
}


@pytest.mark.parametrize(("old", "new", "line", "words"), BROKEN_ARTICLES.values(), ids=BROKEN_ARTICLES)
def test_broken_article(corpus: Path, old: str, new: str, line: int, words: str) -> None:
    path = article(corpus, replaced(HEAD + BODY, old, new))

    findings = check(corpus)

    named = [f for f in findings if words in f.message]
    assert [(f.path, f.line, f.is_error) for f in named] == [(str(path), line, True)], findings
    assert str(named[0]).startswith(f"{path}:{line}: error: ")


# The same for the contact list.
BROKEN_CONTACTS = {
    "invalid number": ('"+855-23-210206"', '"+855-23-2102"', 19, "is no valid number"),
    "invalid local number": (
        "local: 023-210206",
        "local: 0123-0210206",
        20,
        "'0123-0210206' is no valid number",
    ),
    "number written twice": (
        'number: "+855-23-210206"\n  local: 023-210206',
        'number: "+86 10 12308"\n  local: null',
        19,
        "is that of 'hotline' too",
    ),
    "id twice": ("id: embassy", "id: hotline", 17, "is used twice"),
    "no English name": (", en: Embassy", "", 18, "lacks a name in en"),
    "no Chinese name": ("zh-Hans: 使馆, ", "", 18, "lacks a name in zh-Hans"),
    "source without publisher": ("publisher: 乙署, ", "", 31, "a source lacks its publisher"),
    "no source": (
        "\n    - {publisher: 乙署, title: 一份通知, url: null, date: 2026-01-17}",
        " []",
        17,
        "and a source",
    ),
    "checked on another day": (
        "checked: 2026-01-17",
        "checked: 2026-05-17",
        28,
        "not the date of the newest source",
    ),
    "unknown confidence": ("confidence: medium", "confidence: sure", 29, "none of high, medium, low"),
    "unknown situation": (
        "kind: embassy\n  situations: [trapped]",
        "kind: embassy\n  situations: [lost]",
        24,
        "situation 'lost' is none of ours",
    ),
    "not YAML": ("  country: KH", "  country: [KH", 22, "cannot be read"),
}


@pytest.mark.parametrize(("old", "new", "line", "words"), BROKEN_CONTACTS.values(), ids=BROKEN_CONTACTS)
def test_broken_contact(corpus: Path, old: str, new: str, line: int, words: str) -> None:
    path = corpus / "contacts.yaml"
    path.write_text(replaced(CONTACTS, old, new), "utf-8")

    findings = check(corpus)

    named = [f for f in findings if words in f.message and f.path == str(path)]
    assert [(f.line, f.is_error) for f in named] == [(line, True)], findings


WARNINGS = {
    "old": (
        ("checked: 2026-01-17", "date: 2026-01-17}"),
        ("checked: 2024-01-17", "date: 2024-01-17}"),
        28,
        "last checked 2024-01-17, more than 365 days ago",
    ),
    "without a date": (
        ("checked: 2026-01-17", "date: 2026-01-17}"),
        ("checked: null", "date: null}"),
        31,
        "a source lacks its date",
    ),
}


@pytest.mark.parametrize(("old", "new", "line", "words"), WARNINGS.values(), ids=WARNINGS)
def test_contact_warning(corpus: Path, old: tuple[str, ...], new: tuple[str, ...], line: int, words: str) -> None:
    text = CONTACTS
    for one, other in zip(old, new, strict=True):
        text = replaced(text, one, other)
    (corpus / "contacts.yaml").write_text(text, "utf-8")

    (finding,) = check(corpus)

    assert (finding.line, finding.is_error) == (line, False)
    assert words in finding.message
    assert ": warning: " in str(finding)


def test_a_number_of_low_confidence_is_warned_of_and_no_article_may_give_it(corpus: Path) -> None:
    path = corpus / "contacts.yaml"
    path.write_text(replaced(CONTACTS, "confidence: medium", "confidence: low"), "utf-8")

    errors = [f for f in check(corpus) if f.is_error]
    warnings = [f for f in check(corpus) if not f.is_error]

    assert [(f.path, f.line) for f in warnings] == [(str(path), 29)]
    assert {f.line for f in errors} == {16}
    assert len(errors) == 2  # the international and the local form


def test_missing_parts_are_named(corpus: Path) -> None:
    (corpus / "contacts.yaml").unlink()
    (corpus / "lexicon.yaml").write_text("places:\n- {id: kk, names: [KK Park]}\n", "utf-8")

    found = {(f.path, f.line) for f in check(corpus)}

    assert (str(corpus / "contacts.yaml"), 1) in found
    assert (str(corpus / "lexicon.yaml"), 2) in found


def test_an_unreadable_lexicon_is_named_with_its_line(corpus: Path) -> None:
    (corpus / "lexicon.yaml").write_text("places:\n- {id: kk, names: {en: [KK Park}}\n", "utf-8")
    assert [(f.path, f.line) for f in check(corpus)] == [(str(corpus / "lexicon.yaml"), 2)]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    assert any(f.is_error for f in check(tmp_path))


def test_an_id_used_twice(corpus: Path) -> None:
    path = article(corpus, HEAD + BODY, "zh-b.md")
    named = [f for f in check(corpus) if "is also that of" in f.message]
    assert [(f.path, f.line) for f in named] == [(str(path), 2)]


def test_articles_that_repeat_one_another(corpus: Path) -> None:
    # Every sentence has one word changed: no sentence is the same, the article is.
    text = replaced(HEAD, "id: zh-a", "id: zh-b") + BODY.replace("国内的亲属", "国内的家属").replace(
        "先说清楚", "先讲清楚"
    )
    path = article(corpus, text, "zh-b.md")

    named = [f for f in check(corpus) if "tell the two apart" in f.message]

    assert [(f.path, f.line) for f in named] == [(str(path), 14)]
    assert "zh-a.md" in named[0].message


def test_articles_that_share_one_sentence_do_not_repeat_one_another(corpus: Path) -> None:
    body = "## 被扣护照怎么办？\n" + "\n".join(
        f"{topic}的人，应当{advice}，并且留下{proof}，以便以后说明情况，也让帮忙的人知道该找谁。[^one]"
        for topic, advice, proof in (
            ("护照被老板收走", "先向使馆申请旅行证", "护照的照片"),
            ("刚到机场发现没有人接", "不要跟陌生的司机上车", "航班和车牌"),
            ("签了合同却被要求先交钱", "问清楚公司的名称再决定", "收据和汇款凭证"),
            ("在网上看到高薪招聘", "先去查公司有没有派遣资格", "招聘页面的截图"),
            ("和家里断了联系很久", "想办法托人带一句口信", "写下的日期和地点"),
            ("打算在口岸改变主意", "直接走向穿制服的边检人员", "登机牌和行程"),
        )
    )
    shared = "国内的亲属可以向户籍所在地的派出所报案，把聊天记录、转账凭证和最后一次联系的时间都交给民警。[^two]"
    text = replaced(HEAD, "id: zh-a", "id: zh-b") + body + "\n" + shared + "\n"
    article(corpus, text, "zh-b.md")
    assert check(corpus) == []


@pytest.mark.parametrize("n_chars", [CHINESE_CHARS[0] - 150, CHINESE_CHARS[1] + 200])
def test_length_of_a_chinese_article(corpus: Path, n_chars: int) -> None:
    letters = iter(chr(0x4E00 + n) for n in range(n_chars))
    words = "".join(letters)
    lines = "\n".join(f"{words[i : i + 80]}。[^one][^two]" for i in range(0, n_chars, 80))
    path = article(corpus, HEAD + "## 问\n" + lines + "\n")
    named = [f for f in check(corpus) if "are wanted" in f.message]
    assert [(f.path, f.line) for f in named] == [(str(path), 14)]


def test_an_article_without_a_heading(corpus: Path) -> None:
    path = article(corpus, HEAD + "".join(line for line in BODY.splitlines(True) if not line.startswith("#")))
    assert [(f.path, f.line, f.is_error) for f in check(corpus)] == [(str(path), 14, True)]


def test_a_binary_file_is_named(corpus: Path) -> None:
    path = corpus / "articles" / "image.md"
    path.write_bytes(b"\x89PNG\r\n\x00\x00")
    assert [(f.path, f.line) for f in check(corpus)] == [(str(path), 1)]


def test_a_number_with_a_reason_passes_only_in_its_article(corpus: Path) -> None:
    article(corpus, replaced(HEAD + BODY, "先告诉警方", "先告诉警方，不要再拨旧号码59913991"))
    assert any("59913991" in f.message for f in check(corpus))

    exceptions = corpus / "check.yaml"
    exceptions.write_text("superseded:\n- {number: '59913991', article: zh-a, reason: an old number}\n", "utf-8")
    assert check(corpus) == []

    exceptions.write_text("superseded:\n- {number: '59913991', article: zh-b, reason: an old number}\n", "utf-8")
    findings = check(corpus)
    assert [f.line for f in findings if f.is_error] == [23]
    assert [(f.path, f.line) for f in findings if not f.is_error] == [(str(exceptions), 2)]


@pytest.mark.parametrize(
    ("text", "line"),
    [("superseded:\n- {number: '59913991'}\n", 2), ("phones:\n- {number: '1', reason: x}\n", 2)],
)
def test_a_broken_list_of_reasons(corpus: Path, text: str, line: int) -> None:
    (corpus / "check.yaml").write_text(text, "utf-8")
    errors = [f for f in check(corpus) if f.is_error]
    assert [(f.path, f.line) for f in errors] == [(str(corpus / "check.yaml"), line)]


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        ("从境外拨打+86-10-12308或+86-10-65612308。", ["+86-10-12308", "+86-10-65612308"]),
        ("驻柬埔寨大使馆电话是+855-23-210206（2025年1月公布）。", ["+855-23-210206"]),
        ("Call +86-10-12308 or, in Cambodia, 117.", ["+86-10-12308", "117"]),
        ("报警请打110、120或119。", ["110", "120", "119"]),
        ("Hong Kong residents can call (852) 1868 (source of 2025).", ["(852) 1868"]),
        ("從境外撥打（852）1868。", ["（852）1868"]),
        ("The line is 0800 222 777 in South Africa.", ["0800 222 777"]),
        ("ตำรวจท่องเที่ยวรับสาย ๑๑๕๕", ["๑๑๕๕"]),
        ("ফোন নম্বর ৯৯৯", ["৯৯৯"]),
        ("The hotline took 500 calls in 2024.", []),
        ("2025年10月，警方抓获1079名嫌疑人，其中763名是中国籍。", []),
        ("去年立案29.4万起，累计抓获5.3万余名，1,234人被遣返。", []),
        ("《刑法》第266条规定了诈骗罪，报警后按第110条办理。", []),
        ("The ministry wrote on 0404.go.kr on 2025-10-28 about Act 12312.", []),
        ("In 2017-2018 about 41,000 people called for $5000.", []),
        ("打电话给家里，赎金要60万元。", []),
    ],
)
def test_numbers_to_call(sentence: str, numbers: list[str]) -> None:
    assert numbers_to_call(sentence) == numbers


def test_findings_are_in_order_and_read_like_those_of_a_compiler() -> None:
    assert str(Finding("a.md", 3, "wrong")) == "a.md:3: error: wrong"
    assert str(Finding("a.md", 3, "old", is_error=False)) == "a.md:3: warning: old"


def test_order_is_by_path_then_line(corpus: Path, own_article: Callable[..., bytes]) -> None:
    article(corpus, replaced(HEAD + BODY, "先告诉警方", "先拨打118或117告诉警方"))
    (corpus / "articles" / "b.md").write_bytes(own_article("zh-b", body="没有标题。也没有来源。"))
    findings = check(corpus)
    assert len(findings) > 3
    assert [(f.path, f.line) for f in findings] == sorted((f.path, f.line) for f in findings)


BROKEN_QUESTIONS = {
    "no such article": ("zh-Hans/zh-b.yaml", "甲: [乙？]", 1, "there is no article 'zh-b'"),
    "no language": ("tlh/zh-a.yaml", "甲: [乙？]", 1, "is in no folder of a language"),
    "no mapping": ("zh-Hans/zh-a.yaml", "- 乙？", 1, "does not map sentences to questions"),
    "no question": ("zh-Hans/zh-a.yaml", "甲: ['']", 1, "stands no list of questions"),
    "no such sentence": ("en/zh-a.yaml", "# note\n早已不在:\n- Why?\n", 2, "no sentence of the article begins"),
}


@pytest.mark.parametrize(("name", "text", "line", "words"), BROKEN_QUESTIONS.values(), ids=BROKEN_QUESTIONS.keys())
def test_broken_questions(corpus: Path, name: str, text: str, line: int, words: str) -> None:
    path = corpus / "questions" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")
    (finding,) = check(corpus)
    assert (finding.path, finding.line, finding.is_error) == (str(path), line, True)
    assert words in finding.message
