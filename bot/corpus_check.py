"""Lints the corpus: articles, their sources and numbers, the contact list and the lexicon.

Everything that would mislead a reader is an error; what has grown old, or is never shown, is a warning.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import phonenumbers
import yaml

from bot.contacts import SHOWN_CONFIDENCES, ContactList
from bot.errors import ContactsError
from bot.types import SITUATIONS
from retrieval import (
    LANGUAGES,
    Article,
    ArticleFormatError,
    CorpusError,
    Lexicon,
    clean,
    detect_language,
    fold,
)
from retrieval.article_file import read_article_file
from retrieval.known_questions import answering, question_paths, read_questions_file
from retrieval.library import article_paths
from retrieval.yaml_text import refuse_deep_nesting

# Share of the letters of the shorter article in sentences of another one of its language, from which on they
# repeat one another. Neighbouring subjects share a fact or two: of the 12,000 pairs of the first corpus, one
# was above 0.22, at 0.39, and those two told one story.
REPEAT_SHARE = 0.35
# Two sentences are the same when they share this much of their character sequences: one word may differ.
SAME_SENTENCE_SHARE = 0.85
# Length of a Chinese article, white space not counted: short enough for a phone, long enough to answer.
CHINESE_CHARS = (250, 900)
# A date written a little ahead is a time zone, not an error.
_DAYS_AHEAD = 2
# The same reader written in C where PyYAML was built with it: ten times as quick.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SHINGLE_CHARS = 5
_MIN_KEY_CHARS = 12
# Languages that the detector cannot keep apart in a short text; each is accepted for the other.
_ALIKE = (frozenset({"id", "ms"}), frozenset({"hi", "ne"}))
# Tags whose script alone tells the language, so that a single sentence in another script is noticed.
_OWN_SCRIPT = frozenset(
    ["zh-Hans", "zh-Hant", "ja", "ko", "th", "lo", "my", "km", "hi", "ne", "bn", "si", "ur", "am", "ru"]
)
_MIN_FOREIGN_LETTERS = 16
_COUNTRY = re.compile(r"[A-Z]{2}")
_MARKER = re.compile(r"\[\^[^\]\s]{1,120}\]")
_MARKUP = re.compile(r"\*\*|__|!\[|\]\(|^\s*(?:[-*+]|\d+[.)])\s|<[a-z/][^>]*>|`")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong in one place of the corpus; `line` counts from 1."""

    path: str
    line: int
    message: str
    is_error: bool = True

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {'error' if self.is_error else 'warning'}: {self.message}"


def check_corpus(corpus: Path, *, max_age_days: int, today: dt.date | None = None) -> list[Finding]:
    """Everything wrong in the corpus folder, by path and line; paths as given.

    Args:
        corpus: with `articles/`, `contacts.yaml`, `lexicon.yaml` and perhaps `check.yaml`.
        max_age_days: a contact whose newest source is older than this is a warning.
        today: for tests; the present day where None.
    """
    today = today or dt.date.today()
    contacts_path = corpus / "contacts.yaml"
    findings = [
        *_check_contacts(contacts_path, max_age_days, today),
        *_check_lexicon(corpus / "lexicon.yaml"),
    ]
    exceptions, problems = _read_exceptions(corpus / "check.yaml")
    findings += problems
    files: list[_ArticleFile] = []
    for path in article_paths(corpus / "articles"):
        file = _ArticleFile.read(path)
        try:
            file.article = read_article_file(path)
        except ArticleFormatError as error:
            findings.append(Finding(str(path), error.line or file.line_naming(error.reason), error.reason))
            continue
        files.append(file)
    if not files and not findings:
        findings.append(Finding(str(corpus / "articles"), 1, "holds no article; give a corpus folder"))
    known = _known_numbers(contacts_path)
    for file in files:
        findings += _check_front_matter(file, today)
        findings += _check_footnotes(file)
        findings += _check_numbers(file, known, exceptions)
        findings += _check_language(file)
        findings += _check_structure(file)
    findings += _check_questions(corpus / "questions", files)
    findings += _check_ids(files)
    findings += _check_repeats(files)
    findings += [
        Finding(str(corpus / "check.yaml"), e.line, f"'{e.number}' is in no article; drop the entry", False)
        for e in exceptions
        if not e.is_used
    ]
    return sorted(set(findings), key=lambda f: (f.path, f.line, f.message))


# -- articles ------------------------------------------------------------------------------------------------


class _ArticleFile:
    """An article together with the lines of its file."""

    article: Article

    def __init__(self, path: Path, text: str) -> None:
        self.path = str(path)
        self._lines = text.split("\n")
        ends = [i for i, line in enumerate(self._lines) if i and line.rstrip() == "---"]
        self._body_at = ends[0] + 1 if ends and self._lines[0].strip() == "---" else 0
        self._key_lines, self.twice = _key_lines("\n".join(self._lines[1 : max(1, self._body_at - 1)]))

    @classmethod
    def read(cls, path: Path) -> _ArticleFile:
        """The lines of `path`, as far as they can be read at all."""
        try:
            return cls(path, clean(path.read_bytes()[:8_000_000].decode("utf-8-sig", "replace")))
        except OSError:
            return cls(path, "")

    def line_of(self, *keys: str) -> int:
        """Line of a key of the front matter, as `"date"` or `"sources", "hotline"`; 1 if there is none."""
        return next((self._key_lines[k] for k in (keys, keys[:1]) if k in self._key_lines), 1)

    def line_naming(self, reason: str) -> int:
        """Line of the front matter that the reason of an `ArticleFormatError` speaks of."""
        names = re.findall(r"'([^']+)'", reason)
        keys = [keys for name in names for keys in ((name,), ("sources", name)) if keys in self._key_lines]
        return max((self._key_lines[key] for key in keys), default=1)

    def line_at(self, offset: int) -> int:
        """Line of the file in which `article.text[offset]` stands."""
        row = self.article.text.count("\n", 0, offset)
        body = enumerate(self._lines[self._body_at :], start=self._body_at + 1)
        if self.article.is_own:
            kept = [number for number, line in body if _without_marks(line)]
            return kept[row] if row < len(kept) else self._body_at + 1
        wanted = self.article.text.split("\n")[row]
        return next((number for number, line in body if wanted[:30] in line), self._body_at + 1)


def _without_marks(line: str) -> str:
    """The words of a line of the body: no heading sign, no footnote markers."""
    return _MARKER.sub("", re.sub(r"^#{1,6}\s+", "", line.strip())).strip()


def _key_lines(block: str) -> tuple[dict[tuple[str, ...], int], list[tuple[str, int]]]:
    """Lines of the keys of a front matter, and the keys that are written twice."""
    lines: dict[tuple[str, ...], int] = {}
    twice: list[tuple[str, int]] = []

    def walk(node: yaml.Node | None, above: tuple[str, ...]) -> None:
        if not isinstance(node, yaml.MappingNode) or len(above) > 2:
            return
        for key, value in node.value:
            keys = (*above, str(key.value))
            if keys in lines:
                twice.append((str(key.value), key.start_mark.line + 2))
            lines.setdefault(keys, key.start_mark.line + 2)
            walk(value, keys)

    try:
        refuse_deep_nesting(block)
        walk(yaml.compose(block, _LOADER), ())
    except (yaml.YAMLError, ValueError, RecursionError):
        for number, line in enumerate(block.split("\n"), start=2):
            if match := re.match(r"([A-Za-z_][\w-]*):", line):
                lines.setdefault((match[1],), number)
    return lines, twice


def _check_front_matter(file: _ArticleFile, today: dt.date) -> Iterator[Finding]:
    article = file.article
    latest = (today + dt.timedelta(days=_DAYS_AHEAD)).isoformat()
    for name, line in file.twice:
        yield Finding(file.path, line, f"'{name}' is written twice; the first would be lost")
    if article.language not in LANGUAGES:
        yield Finding(file.path, file.line_of("lang"), f"lang '{article.language}' is none of ours; see CONTRACT")
    if article.published > latest:
        yield Finding(file.path, file.line_of("date"), f"date {article.published} lies in the future")
    for country in article.countries:
        if not _COUNTRY.fullmatch(country):
            yield Finding(file.path, file.line_of("countries"), f"country '{country}' is no code such as CN")
    for key, source in article.sources.items():
        if source.date is not None and source.date > latest:
            yield Finding(
                file.path,
                file.line_of("sources", key),
                f"source '{key}' is dated {source.date}, in the future",
            )


def _check_footnotes(file: _ArticleFile) -> Iterator[Finding]:
    article = file.article
    if not article.is_own:
        return
    used = {key for sentence in article.sentences for key in sentence.source_keys}
    for key in article.sources:
        if key not in used:
            yield Finding(file.path, file.line_of("sources", key), f"source '{key}' is used by no sentence")
    for sentence in article.sentences:
        if not sentence.source_keys:
            text = article.text[sentence.start : sentence.end]
            what = "a sentence with a figure" if re.search(r"\d", text) else "a sentence"
            yield Finding(file.path, file.line_at(sentence.start), f"{what} has no footnote: {_short(text)}")


def _check_language(file: _ArticleFile) -> Iterator[Finding]:
    article = file.article
    said = article.language
    found = detect_language(article.text[:4000])
    if not _is_language(said, found):
        message = f"lang says '{said}', the text reads as '{found or 'no language'}'"
        yield Finding(file.path, file.line_of("lang"), message)
        return
    title_letters = re.findall(r"[^\W\d_]", article.title)
    found = detect_language(article.title)
    if said in _OWN_SCRIPT and len(title_letters) >= 6 and not _is_language(said, found):
        yield Finding(file.path, file.line_of("title"), f"lang says '{said}', the title reads as '{found}'")
    for sentence in article.sentences:
        text = article.text[sentence.start : sentence.end]
        if len(re.findall(r"[^\W\d_]", text)) < _MIN_FOREIGN_LETTERS:
            continue
        found = detect_language(text)
        # Between Latin languages one sentence is too little to tell.
        if (said in _OWN_SCRIPT or found in _OWN_SCRIPT) and not _is_language(said, found):
            line = file.line_at(sentence.start)
            yield Finding(file.path, line, f"lang says '{said}', this sentence reads as '{found}': {_short(text)}")


def _is_language(said: str, found: str | None) -> bool:
    return said == found or any(said in alike and found in alike for alike in _ALIKE)


def _check_structure(file: _ArticleFile) -> Iterator[Finding]:
    article = file.article
    if not article.is_own:
        return
    headings = [h.start for h in article.headings]
    if not headings:
        yield Finding(
            file.path,
            file.line_at(0),
            "has no heading; put a question such as «## 怎么拨打？» above the text",
        )
    starts = [s.start for s in article.sentences]
    for start, following in pairwise([*headings, len(article.text) + 1]):
        if not any(start < s < following for s in starts):
            yield Finding(file.path, file.line_at(start), "the heading has no text below it")
    offset = 0
    for line in article.text.split("\n"):
        if _MARKUP.search(line):
            message = f"markup would be quoted as it stands: {_short(line)}"
            yield Finding(file.path, file.line_at(offset), message)
        offset += len(line) + 1
    if article.language in ("zh-Hans", "zh-Hant"):
        least, most = CHINESE_CHARS
        n_chars = len(re.sub(r"\s", "", article.text))
        if not least <= n_chars <= most:
            yield Finding(file.path, file.line_at(0), f"has {n_chars} characters; {least} to {most} are wanted")


def _check_questions(folder: Path, files: Sequence[_ArticleFile]) -> Iterator[Finding]:
    articles = {file.article.article_id: file.article for file in files if file.article}
    seen: dict[tuple[str, str], str] = {}
    for path in question_paths(folder):
        article = articles.get(path.stem)
        if article is None:
            yield Finding(str(path), 1, f"there is no article '{path.stem}'; rename the file or drop it")
            continue
        try:
            questions = read_questions_file(path)
        except CorpusError as error:
            yield Finding(str(path), 1, str(error))
            continue
        lines = path.read_text("utf-8").splitlines()
        for beginning, texts in questions.items():
            n = len(answering(article, beginning))
            if n != 1:
                why = "no sentence of the article begins" if n == 0 else f"{n} sentences of the article begin"
                yield Finding(str(path), _line_of(lines, beginning), f"{why} with '{beginning}'")
            for text in texts:
                earlier = seen.setdefault((path.parent.name, fold(text)), str(path))
                if earlier != str(path):
                    message = f"'{text}' stands in '{earlier}' too; say which of the two is meant"
                    yield Finding(str(path), _line_of(lines, text), message, False)


def _line_of(lines: Sequence[str], words: str) -> int:
    return next((n for n, line in enumerate(lines, start=1) if words[:20] in line), 1)


def _check_ids(files: Sequence[_ArticleFile]) -> Iterator[Finding]:
    first: dict[str, _ArticleFile] = {}
    for file in files:
        earlier = first.setdefault(file.article.article_id, file)
        if earlier is not file:
            message = f"the id '{file.article.article_id}' is also that of {earlier.path}; rename one"
            yield Finding(file.path, file.line_of("id"), message)
    for file in files:
        original = file.article.translation_of
        if original is None:
            continue
        line = file.line_of("translation_of")
        if original not in first:
            yield Finding(file.path, line, f"translation_of names no article: '{original}'")
        elif first[original].article.language == file.article.language:
            yield Finding(file.path, line, f"translation_of names an article of the same language: '{original}'")


# -- repeats -------------------------------------------------------------------------------------------------


def _check_repeats(files: Sequence[_ArticleFile]) -> Iterator[Finding]:
    by_language: dict[str, list[_ArticleFile]] = defaultdict(list)
    for file in files:
        by_language[file.article.language].append(file)
    for group in by_language.values():
        sentences = [_sentence_keys(file) for file in group]
        for file, found in zip(group, sentences, strict=True):
            for key, n in Counter(key for key, _ in found).items():
                if n > 1:
                    start = [s for k, s in found if k == key][1]
                    text = file.article.text[start : start + 60]
                    yield Finding(file.path, file.line_at(start), f"the article says this twice: {_short(text)}")
        texts = [{key for key, _ in found} for found in sentences]
        shingles = {key: _shingles(key) for keys in texts for key in keys}
        for one, other in combinations(range(len(group)), 2):
            share = _shared(texts[one], texts[other], shingles)
            if share >= REPEAT_SHARE:
                message = f"this and {group[one].path} share {share:.0%} of the shorter; tell the two apart"
                yield Finding(group[other].path, group[other].line_at(0), message)


def _sentence_keys(file: _ArticleFile) -> list[tuple[str, int]]:
    article = file.article
    keys = ((re.sub(r"[\W_]+", "", fold(article.text[s.start : s.end])), s.start) for s in article.sentences)
    return [(key, start) for key, start in keys if len(key) >= _MIN_KEY_CHARS]


def _shingles(key: str) -> frozenset[str]:
    return frozenset(key[i : i + _SHINGLE_CHARS] for i in range(len(key) - _SHINGLE_CHARS + 1))


def _shared(one: set[str], other: set[str], shingles: Mapping[str, frozenset[str]]) -> float:
    """Share of the letters of the shorter article that stand in sentences of the other one."""
    if sum(map(len, one)) > sum(map(len, other)):
        one, other = other, one
    total = sum(map(len, one))
    same = one & other
    n_shared = sum(map(len, same))
    rest = [shingles[key] for key in other - same]
    for key in one - same:
        mine = shingles[key]
        for theirs in rest:
            longer = max(len(mine), len(theirs))
            if min(len(mine), len(theirs)) < SAME_SENTENCE_SHARE * longer:
                continue
            if len(mine & theirs) >= SAME_SENTENCE_SHARE * longer:
                n_shared += len(key)
                break
    return n_shared / total if total else 0.0


# -- numbers -------------------------------------------------------------------------------------------------

_GAP = r"[ .\-\u2010-\u2013]"
_PHONE_LIKE = re.compile(
    # +86-10-12308, +886 (0)2 2533 9995
    rf"(?P<abroad>\+ ?\d{{1,4}}(?:{_GAP}?\(\d{{1,4}}\))?(?:{_GAP}?\d{{1,12}})+)"
    # (852) 1868, （02）8231-1033
    rf"|(?P<area>\(\d{{2,5}}\){_GAP}?\d{{3,9}}(?:{_GAP}\d{{2,9}})*)"
    # 0800 222 777, 8722-1144, 65612308, 117
    rf"|(?P<local>\d+(?:{_GAP}\d+)*)"
)
_YEAR = re.compile(r"(?:19|20)\d\d|25[5-7]\d")
_DATE = re.compile(r"\d{4}([-.])\d{1,2}\1\d{1,2}|\d{1,2}([-.])\d{1,2}\2\d{4}")
# What follows a count or an amount. The list grows with the corpus: a count taken for a number to call is
# an error that names its line.
_UNIT_AFTER = re.compile(
    r"\s?(?:%|％|‰|[人名元亿億万萬千个個起件条條张張部枚户戶次天日月年岁歲公米多余餘家所处處座种種项項页頁章款期批集类類国國位套架辆輛"
    r"间間块塊座栋棟分小点點时時周层層宗]|명|건|원|년|월|일|개|시간|세|円|歳|か国|คน|บาท|ราย|ปี|ครั้ง|ชั่วโมง|នាក់|ដុល្លារ|ឆ្នាំ|ဦး|ယောက်|ကျပ်"
    r"|(?:people|persons?|victims|workers|foreigners|nationals|citizens|men|women|cases|calls|reports|requests"
    r"|complaints|suspects|compounds|cent(?:re|er)s|sites|companies|names|numbers|hours|days|weeks|months|years"
    r"|minutes|characters|scam|dollars?|USD|US|baht|yuan|riel|won|pesos?|rupees|rupiah|dong|ringgit|km"
    r"|of them|were|more|million|billion|thousand|người|đồng|triệu|tỷ|vụ|ngày|giờ|năm"
    r"|orang|ribu|juta|jam|hari|tahun|kasus|kes|katao|tao|oras|araw|kaso|pessoas|casos"
    r"|horas|dias|anos|reais|watu|siku|saa|kesi|miaka|लोग|लोगों|मामले|घंटे|दिन"
    r"|रुपये|জন|টাকা|ঘণ্টা|দিন|ሰዎች|ሰዓት|ቀን)\b)",
    re.IGNORECASE,
)
_AMOUNT_BEFORE = re.compile(
    r"(?:[$€£¥₹₱฿₩৳₫]|US\$|USD|RM|Rs\.?|Rp\.?|PHP|THB|第|Articles?|Section|Act|No\.)\s?$", re.IGNORECASE
)
# Words that make a short number one to call, in every language of the corpus.
_CALL_WORD = re.compile(
    r"拨|撥|致电|致電|打电话|打電話|热线|熱線|电话|電話|报警|報警|号码|號碼|专线|專線|短信|簡訊|来电|來電|转接|轉接|打给|打給|通话|通話"
    r"|ダイヤル|通報|番号|ホットライン|전화|신고|번호|핫라인|콜센터|상담"
    r"|\b(?:call(?:s|ed|ing)?(?! cent)|dial(?:s|led|ling)?|hotlines?|helplines?|actionline|phone|telephone"
    r"|lines?|numbers?|text(?:ed)?|sms|whatsapp|ring|reach(?:ed)?|emergenc(?:y|ies)|ambulances?"
    r"|(?:police|polis|polisi) (?:is|are|on|ialah|adalah)|gọi|đường dây|điện thoại|tổng đài|số|telepon"
    r"|menelepon|hubungi|nomor|talian|nombor|telefon|panggil(?:an)?|tawag|tumawag|tawagan|numero|linya|ligue|ligar"
    r"|ligaç(?:ão|ões)|telefone|número|disque|linha|simu|piga|namba|nambari)\b"
    r"|โทร|เบอร์|สาย|หมายเลข|ဖုန်း|ခေါ်|နံပါတ်|ဟော့လိုင်း|ទូរស័ព្ទ|លេខ|ខ្សែ|फ़ोन|फोन|नंबर|नम्बर|हेल्पलाइन|हॉटलाइन|कॉल"
    r"|ফোন|নম্বর|হটলাইন|হেল্পলাইন|কল|ስልክ|ቁጥር|መስመር|ደውል|መደወል",
    re.IGNORECASE,
)
# What makes digits a part of something else: 41,000, 0404.go.kr, 800-SAVE.
_JOINED_BEFORE = re.compile(r"\d[,.:/]$|[A-Za-z_@/]$|[A-Za-z]-$")
_JOINED_AFTER = re.compile(r"[,.:]\d|[A-Za-z_@/]|\.[a-z]|-[A-Za-z]")
_CALL_WINDOW_CHARS = 28
_MIN_ABROAD_DIGITS, _MIN_PHONE_DIGITS, _MAX_PHONE_DIGITS = 5, 7, 15
# Amounts of so many digits have separators or a unit; without either the digits are a number to call: 12308.
_MIN_UNGROUPED_DIGITS = 5


@dataclass(slots=True)
class _Exception:
    """A number that is told as superseded, or that is no number to call."""

    number: str
    article: str | None
    line: int
    is_used: bool = False


def _check_numbers(file: _ArticleFile, known: frozenset[str], exceptions: Sequence[_Exception]) -> Iterator[Finding]:
    article = file.article
    for sentence in article.sentences:
        text = article.text[sentence.start : sentence.end]
        for number in numbers_to_call(text):
            digits = _digits(number)
            excepted = [e for e in exceptions if e.number == digits and e.article in (None, article.article_id)]
            for exception in excepted:
                exception.is_used = True
            if excepted or _is_known(number, known):
                continue
            message = f"the number '{number}' is not in contacts.yaml: {_short(text)}"
            yield Finding(file.path, file.line_at(sentence.start), message)


def numbers_to_call(sentence: str) -> list[str]:
    """What stands in `sentence` as a number to dial, as it is written there.

    That is phone numbers in any form, and short codes beside a word such as «call» or 热线. Counts, dates and
    amounts are left out.
    """
    # Same length, so that offsets into both are the same.
    text = "".join(_plain(c) for c in sentence)
    found: list[str] = []
    last_end = -1
    for match in _PHONE_LIKE.finditer(text):
        before, after = text[: match.start()], text[match.end() :]
        if _JOINED_BEFORE.search(before) or _JOINED_AFTER.match(after) or _AMOUNT_BEFORE.search(before):
            continue
        # «110、120 and, in Cambodia, 117»: beside a number to call stands another one.
        is_listed = last_end >= 0 and match.start() - last_end <= _CALL_WINDOW_CHARS
        if _is_to_call(match, before, after, is_listed=is_listed):
            found.append(sentence[match.start() : match.end()])
            last_end = match.end()
    return found


def _is_to_call(match: re.Match[str], before: str, after: str, *, is_listed: bool) -> bool:
    number, digits = match[0], _digits(match[0])
    if _DATE.fullmatch(number) or all(_YEAR.fullmatch(group) for group in re.split(_GAP, number)):
        return False
    if match["abroad"] or match["area"]:
        return len(digits) >= _MIN_ABROAD_DIGITS
    if _UNIT_AFTER.match(after) or len(digits) > _MAX_PHONE_DIGITS or _is_dialling_prefix(digits):
        return False
    if len(digits) >= _MIN_PHONE_DIGITS:
        return True
    if not number.isdigit() or len(digits) < 3:
        return False
    if len(digits) >= _MIN_UNGROUPED_DIGITS or digits.startswith("0") or is_listed:
        return True
    window = before[-_CALL_WINDOW_CHARS:], after[: _CALL_WINDOW_CHARS // 2]
    return any(_CALL_WORD.search(part) for part in window)


def _plain(char: str) -> str:
    if char.isdigit() and (value := unicodedata.digit(char, None)) is not None:
        return str(value)
    return {"＋": "+", "（": "(", "）": ")", "－": "-", "\u00a0": " "}.get(char, char)


def _digits(number: str) -> str:
    return "".join(_plain(c) for c in number if c.isdigit())


def _is_dialling_prefix(digits: str) -> bool:
    """Whether this is only how to dial a country: 0095."""
    return (
        digits.startswith("00") and digits[2:].isdigit() and int(digits[2:]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    )


def _is_known(number: str, known: frozenset[str]) -> bool:
    # «+86-10-12308 24 hours a day»: what follows a space may belong to the next word.
    parts = number.split(" ")
    return any(_digits(" ".join(parts[:n])) in known for n in range(len(parts), 0, -1))


def _known_numbers(path: Path) -> frozenset[str]:
    """Digits of every number of the contact list that may be shown, in each form in which one writes it."""
    try:
        contacts = ContactList.load(path).contacts
    except ContactsError:
        return frozenset()
    known: set[str] = set()
    for contact in contacts:
        for written in (contact.number, contact.local):
            if written is None:
                continue
            groups = [_digits(group) for group in re.split(rf"{_GAP}|[()]", written) if _digits(group)]
            known.add("".join(groups))
            # Without the area code, as it is dialled in town.
            tails = ("".join(groups[n:]) for n in range(1, len(groups)))
            known.update(tail for tail in tails if len(tail) >= _MIN_PHONE_DIGITS)
        if contact.number is not None:
            parsed = _parsed(contact.number, None)
            if parsed is not None:
                national = phonenumbers.national_significant_number(parsed)
                known |= {national, "0" + national, f"00{parsed.country_code}{national}"}
    return frozenset(known)


def _read_exceptions(path: Path) -> tuple[list[_Exception], list[Finding]]:
    """The lists `superseded` and `not_phone_numbers` of {number, reason, article?} in `check.yaml`."""
    if not path.is_file():
        return [], []
    exceptions: list[_Exception] = []
    findings: list[Finding] = []
    for group, node in _pairs(_composed(path, findings)):
        if group not in ("superseded", "not_phone_numbers"):
            findings.append(Finding(str(path), node.start_mark.line + 1, f"'{group}' is no list of this file"))
        for record in node.value if isinstance(node, yaml.SequenceNode) else ():
            line = record.start_mark.line + 1
            fields = {key: str(value.value) for key, value in _pairs(record)}
            if not _digits(fields.get("number", "")) or not fields.get("reason", "").strip():
                findings.append(Finding(str(path), line, "an entry needs a number and a reason"))
                continue
            exceptions.append(_Exception(_digits(fields["number"]), fields.get("article"), line))
    return exceptions, findings


# -- contacts and lexicon ------------------------------------------------------------------------------------


def _check_contacts(path: Path, max_age_days: int, today: dt.date) -> Iterator[Finding]:
    findings: list[Finding] = []
    root = _composed(path, findings)
    yield from findings
    if root is None:
        if not findings:
            yield Finding(str(path), 1, "the contact list cannot be read; restore it")
        return
    nodes = root.value if isinstance(root, yaml.SequenceNode) else []
    records = [(_Record(str(path), node), node) for node in nodes]
    try:
        ContactList.load(path)
    except ContactsError as error:
        named = re.search(r"the (?:contact|id) '([^']*)'", str(error))
        same = [r for r, _ in records if named and r.name == named[1]]
        yield Finding(str(path), same[-1].line if same else 1, str(error).split(": ", 1)[-1])
    seen: dict[tuple[str, str], _Record] = {}
    for record, _ in records:
        yield from record.check(max_age_days, today)
        for key in record.dial_keys():
            earlier = seen.setdefault(key, record)
            if earlier is not record:
                name = "number" if record.get("number") else "local"
                yield record.finding(name, f"the number of '{record.name}' is that of '{earlier.name}' too; keep one")


class _Record:
    """A record of the contact list, with the lines of its fields."""

    def __init__(self, path: str, node: yaml.Node) -> None:
        self._path = path
        self.line = node.start_mark.line + 1
        self._lines = {str(key): child.start_mark.line + 1 for key, child in _pairs(node)}
        try:
            value = _construct(node)
        except (yaml.YAMLError, ValueError):
            value = None
        self._fields: dict[str, Any] = value if isinstance(value, dict) else {}
        self.name = str(self._fields.get("id", "?"))
        sources = next((child for key, child in _pairs(node) if key == "sources"), None)
        rows = sources.value if isinstance(sources, yaml.SequenceNode) else []
        self._source_lines = [row.start_mark.line + 1 for row in rows]

    def get(self, name: str) -> str:
        value = self._fields.get(name)
        return "" if value is None else str(value).strip()

    def finding(self, name: str, message: str, is_error: bool = True) -> Finding:
        return Finding(self._path, self._lines.get(name, self.line), message, is_error)

    def dial_keys(self) -> Iterator[tuple[str, str]]:
        """What makes the number one of its kind: texts to it are another line than calls."""
        channels = "sms" if self._fields.get("channels") == ["sms"] else "call"
        if self.get("number"):
            yield channels, _digits(self.get("number"))
        elif self.get("local"):
            yield f"{channels} {self._fields.get('country')}", _digits(self.get("local"))

    def check(self, max_age_days: int, today: dt.date) -> Iterator[Finding]:
        names = self._fields.get("names")
        for language in ("en", "zh-Hans"):
            if not isinstance(names, dict) or not str(names.get(language) or "").strip():
                yield self.finding("names", f"'{self.name}' lacks a name in {language}")
        for situation in self._fields.get("situations") or ():
            if situation not in SITUATIONS:
                yield self.finding("situations", f"'{self.name}': situation '{situation}' is none of ours")
        country = "NO" if self._fields.get("country") is False else self.get("country")
        if not _COUNTRY.fullmatch(country):
            yield self.finding("country", f"'{self.name}': country '{country}' is no code such as CN")
        yield from self._check_validity(country)
        confidence = self.get("confidence")
        if confidence == "low":
            yield self.finding("confidence", f"'{self.name}' has confidence low and is never shown", False)
        elif confidence not in SHOWN_CONFIDENCES:
            yield self.finding("confidence", f"'{self.name}': confidence '{confidence}' is none of high, medium, low")
        yield from self._check_dates(max_age_days, today)

    def _check_validity(self, country: str) -> Iterator[Finding]:
        for name, region in (("number", None), ("local", country)):
            written = self.get(name)
            if not written or self._fields.get("short_code"):
                continue
            # A line that has both is judged by the form for abroad; the local one may be a short code.
            if name == "local" and self.get("number") and len(_digits(written)) < _MIN_PHONE_DIGITS:
                continue
            parsed = _parsed(written, region)
            if parsed is None or not phonenumbers.is_valid_number(parsed):
                yield self.finding(name, f"'{self.name}': '{written}' is no valid number; mend it or set short_code")

    def _check_dates(self, max_age_days: int, today: dt.date) -> Iterator[Finding]:
        sources = self._fields.get("sources")
        newest = ""
        for source, line in zip(sources if isinstance(sources, list) else [], self._source_lines, strict=False):
            fields = source if isinstance(source, dict) else {}
            for field in ("publisher", "title"):
                if not str(fields.get(field) or "").strip():
                    yield Finding(self._path, line, f"'{self.name}': a source lacks its {field}")
            date = str(fields.get("date") or "")
            newest = max(newest, date)
            if not date:
                yield Finding(self._path, line, f"'{self.name}': a source lacks its date", False)
            elif _age_days(date, today) is None:
                yield Finding(self._path, line, f"'{self.name}': '{date}' is no date such as 2024-11-23")
            elif date > (today + dt.timedelta(days=_DAYS_AHEAD)).isoformat():
                yield Finding(self._path, line, f"'{self.name}': a source is dated {date}, in the future")
        checked = self.get("checked")
        if not checked:
            return
        age_days = _age_days(checked, today)
        if age_days is None:
            yield self.finding("checked", f"'{self.name}': checked '{checked}' is no date such as 2024-11-23")
        elif checked != newest:
            message = f"'{self.name}': checked {checked} is not the date of the newest source ({newest or 'none'})"
            yield self.finding("checked", message)
        elif age_days > max_age_days:
            message = f"'{self.name}' was last checked {checked}, more than {max_age_days} days ago"
            yield self.finding("checked", message, False)


def _check_lexicon(path: Path) -> Iterator[Finding]:
    findings: list[Finding] = []
    if not path.is_file():
        yield Finding(str(path), 1, "the lexicon is missing; restore it")
        return
    root = _composed(path, findings)
    yield from findings
    if findings:
        return
    try:
        Lexicon.load(path)
    except CorpusError as error:
        named = re.search(r"the entry '([^']*)'", str(error))
        lines = [
            record.start_mark.line + 1
            for _, group in _pairs(root)
            for record in (group.value if isinstance(group, yaml.SequenceNode) else ())
            if named and any(key == "id" and value.value == named[1] for key, value in _pairs(record))
        ]
        yield Finding(str(path), lines[0] if lines else 1, str(error).split(": ", 1)[-1])


# -- helpers -------------------------------------------------------------------------------------------------


def _construct(node: yaml.Node) -> object:
    """The value of a node that was composed before."""
    value: object = yaml.SafeLoader("").construct_document(node)
    return value


def _composed(path: Path, findings: list[Finding]) -> yaml.Node | None:
    """The YAML tree of a file, with its lines; what keeps it from being read goes to `findings`."""
    try:
        text = path.read_text("utf-8")
        refuse_deep_nesting(text)
        return yaml.compose(text, _LOADER)
    except (OSError, UnicodeDecodeError) as error:
        findings.append(Finding(str(path), 1, f"cannot be read ({type(error).__name__}); restore it"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        findings.append(
            Finding(str(path), 1 if mark is None else mark.line + 1, f"cannot be read ({problem}); mend it")
        )
    return None


def _pairs(node: yaml.Node | None) -> Iterable[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(str(key.value), value) for key, value in node.value]


def _parsed(number: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def _age_days(date: str, today: dt.date) -> int | None:
    try:
        return (today - dt.date.fromisoformat(date)).days
    except ValueError:
        return None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return f"«{text if len(text) <= 60 else text[:59] + '…'}»"
