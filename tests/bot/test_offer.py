from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bot.contacts import ContactList
from bot.errors import SignsError
from bot.folding import fold_pattern, fold_text
from bot.offer import MAX_OFFER_CHARS, OfferChecker
from bot.offer_score import OfferWeights, sigmoid
from bot.offer_set import read_offers
from bot.pay import PayRules
from bot.signs import SIGNS_PATH, SignList, find_spans
from bot.train_offer import collect, fit, write_weights
from bot.types import OfferReport
from bot.view import View
from retrieval import HashEmbedder, IndexMissingError, Lexicon, Library, Searcher, build_index

ROOT = Path(__file__).parents[2]
SCAM = "柬埔寨高薪直招打字员，月薪三万，包机票食宿，无需经验，旅游签入境，加微信，明天出发，先交押金，别告诉家人"
HONEST = "Barista wanted at our Main Street shop, training given, employment contract, interview in the shop."
CORPUS_LANGUAGES = set(SignList.load().notices["high_risk"])


@pytest.fixture(scope="module")
def contacts() -> ContactList:
    return ContactList.load(ROOT / "corpus" / "contacts.yaml")


@pytest.fixture(scope="module")
def checker(contacts: ContactList) -> OfferChecker:
    return OfferChecker(SignList.load(), Lexicon(), contacts)


def ids(report: OfferReport) -> set[str]:
    return {signal.sign_id for signal in report.signals}


def test_a_scam_is_high_risk_and_each_sign_is_marked(checker: OfferChecker) -> None:
    report = checker.check(SCAM)
    assert report.verdict == "high_risk"
    assert report.language == "zh-Hans"
    assert {
        "pay-out-of-line", "travel-paid", "no-experience", "wrong-visa", "chat-app-only", "hurried-start",
        "fee-or-deposit", "secrecy", "high-risk-place",
    } <= ids(report)  # fmt: skip
    evidence = {signal.sign_id: signal.evidence for signal in report.signals}
    assert evidence["wrong-visa"] == "旅游签"
    assert evidence["high-risk-place"] == "柬埔寨"
    assert evidence["secrecy"] == "别告诉家人"


def test_signals_and_absent_are_all_signs_and_do_not_overlap(checker: OfferChecker) -> None:
    report = checker.check(SCAM)
    assert not ids(report) & set(report.absent)
    assert ids(report) | set(report.absent) == {sign.sign_id for sign in SignList.load().signs}


def test_an_honest_advertisement_is_never_called_safe(checker: OfferChecker) -> None:
    report = checker.check(HONEST)
    assert report.verdict == "no_known_signs"
    assert "does not show that the offer is real" in report.notice
    assert "licen" in report.notice or "registration" in report.notice
    # What was looked for and not found is named.
    assert SignList.load().signs[0].label("en") in report.notice


def test_no_notice_in_any_language_says_safe() -> None:
    words = (
        "is safe",
        "looks safe",
        "安全的",
        "可以放心",
        "是真的",
        "an toàn",
        "ปลอดภัย",
        "aman",
        "seguro",
        "salama",
    )
    signs = SignList.load()
    for key, by_language in signs.notices.items():
        assert set(by_language) == CORPUS_LANGUAGES, key
        for text in by_language.values():
            assert not any(word in text for word in words), text


def test_every_sign_speaks_every_language_of_the_corpus() -> None:
    signs = SignList.load().signs
    assert len(signs) >= 25
    assert len(CORPUS_LANGUAGES) == 17
    for sign in signs:
        assert set(sign.labels) == set(sign.explanations) == CORPUS_LANGUAGES, sign.sign_id
        assert sign.pattern is not None or sign.detector is not None
        assert {"en", "zh-Hans"} <= set(sign.query)
    assert signs[0].label("ru") == signs[0].label("en")


def test_cited_articles_exist() -> None:
    on_disk = {path.stem for path in (ROOT / "corpus" / "articles").rglob("*.md")}
    for sign in SignList.load().signs:
        assert sign.articles
        assert set(sign.articles) <= on_disk, sign.sign_id


@pytest.mark.parametrize(
    ("text", "sign_id"),
    [
        ("在海外工作，高 薪 包 吃 住，护照发我", "keep-paid"),
        ("出國工作，包機票，護照影本先傳來", "papers-wanted"),
        ("viec nhe luong cao o nuoc ngoai", "easy-work"),
        ("Việc nhẹ lương cao ở nước ngoài", "easy-work"),
        ("ＴＥＬＥＧＲＡＭ で連絡、海外の仕事", "chat-app-only"),
        ("งานต่างประเทศ ห้ามบอกใคร", "secrecy"),
        ("काम विदेश में, टूरिस्ट वीज़ा पर", "wrong-visa"),
        ("[QR code]\n海外招聘", "qr-code"),
    ],
    ids=["spaced", "traditional", "no-marks", "marks", "full-width", "thai", "nukta", "qr"],
)
def test_spellings_of_one_word_meet(checker: OfferChecker, text: str, sign_id: str) -> None:
    report = checker.check(text)
    assert sign_id in ids(report)
    assert all(text[s.start : s.end] == s.evidence for s in report.signals)


@pytest.mark.parametrize("text", ["no work permit needed, fly to Laos", "work permit provided"])
def test_a_reassurance_inside_a_sign_does_not_count(checker: OfferChecker, text: str) -> None:
    assert ("work-visa" in checker.find(text, "en").reassurances) == text.startswith("work permit")


def test_work_at_home_is_not_judged_by_signs_of_a_journey(checker: OfferChecker) -> None:
    at_home = checker.check("急招今晚洗碗工，日结，微信联系，无需经验")
    abroad = checker.check("急招海外洗碗工，日结，微信联系，无需经验")
    assert {"chat-app-only", "hurried-start", "no-experience"} <= ids(at_home) & ids(abroad)
    assert at_home.score < abroad.score
    assert at_home.verdict != "high_risk"


def test_a_strong_sign_is_never_passed_over(checker: OfferChecker) -> None:
    text = "某集团招聘，劳动合同，五险一金，到公司面试，本科，三年以上经验，工作签证，官网投简历。入境用旅游签。"
    report = checker.check(text)
    assert report.score < 0.25
    assert report.verdict == "suspicious"


def test_pay_is_compared_by_currency_and_period() -> None:
    rules = SignList.load().pay
    assert isinstance(rules, PayRules)

    def amounts(text: str, language: str) -> list[tuple[str, float]]:
        return [(a.currency, a.monthly) for a in rules.amounts(fold_text(text), language)]

    assert amounts("月薪3-5万元", "zh-Hans") == [("CNY", 50_000)]
    assert amounts("日结800", "zh-Hans") == [("CNY", 19_200)]
    assert amounts("salary $3,000 per month", "en") == [("USD", 3000)]
    assert amounts("gaji 12-18 juta", "id") == [("IDR", 18_000_000)]
    assert amounts("lương 25 triệu", "vi") == [("VND", 25_000_000)]
    assert amounts("월급 230만원", "ko") == [("KRW", 2_300_000)]
    assert amounts("room 1203, bus 44", "en") == []


def test_notices_name_registers_of_the_readers_country(checker: OfferChecker, contacts: ContactList) -> None:
    report = checker.check(HONEST, language="vi")
    assert report.language == "vi"
    assert report.contacts
    assert report.contacts[0].contact_id == "vn-dolab"
    assert report.contacts[0].names["vi"] in report.notice
    assert all(contact in contacts.contacts for contact in report.contacts)
    kenyan = checker.check(HONEST, language="en", nationality="KE")
    assert {"KE"} == {contact.country for contact in kenyan.contacts}


@pytest.mark.parametrize("text", ["", " \n", "\x00\ud800", "😀" * 50, "1" * 5000, "(" * 100, "护照" * 9000])
def test_odd_texts_are_read(checker: OfferChecker, text: str) -> None:
    report = checker.check(text)
    assert len(report.text) <= MAX_OFFER_CHARS
    assert report.notice


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([*SCAM, " ", "\n", "k", "5", "万", "ำ", "ज़", "がｶﾞ", "ß", "\u0301", "İ", "😀"]) | st.text(),
        max_size=30,
    )
)
def test_no_text_fails_and_spans_are_exact(parts: list[str]) -> None:
    checker = OfferChecker(SignList.load(), Lexicon(), ContactList(()))
    report = checker.check("".join(parts))
    assert 0 <= report.score <= 1
    for signal in report.signals:
        assert 0 <= signal.start <= signal.end <= len(report.text)
        assert report.text[signal.start : signal.end] == signal.evidence
        assert signal.evidence == signal.evidence.strip()
    assert isinstance(checker.looks_like_offer("".join(parts), strictly=False), bool)


@given(st.text(max_size=200))
def test_folding_keeps_places(text: str) -> None:
    folded = fold_text(text)
    assert len(folded.folded) == len(folded.origins)
    assert list(folded.origins) == sorted(folded.origins)


def test_folded_patterns_keep_what_they_escape() -> None:
    assert fold_pattern(r"\D\S") == r"\D\S"
    assert fold_pattern("護照（") == r"护照\("


# Quotes


@pytest.fixture(scope="module")
def quoting(tmp_path_factory: pytest.TempPathFactory, contacts: ContactList) -> OfferChecker:
    folder = tmp_path_factory.mktemp("corpus")
    source = "  one: {publisher: 甲署, title: 一份通知, url: null, date: 2025-03-04}"
    for article_id, lang, body in (
        ("zh-legal-visa", "zh-Hans", "## 签证\n中介叫你用旅游签打工就当作骗局。[^one]"),
        ("en-signs-of-a-false-offer", "en", "## Signs\nA tourist visa for work is a sign of deceit.[^one]"),
        ("zh-other", "zh-Hans", "## 别的\n天气很好。[^one]"),
    ):
        path = folder / "articles" / f"{article_id}.md"
        path.parent.mkdir(exist_ok=True)
        front = f"id: {article_id}\ntitle: 题\nlang: {lang}\ndate: 2026-01-01\nkind: warning\ntopics: [lure]"
        path.write_text(
            f"---\n{front}\ncountries: []\ntranslation_of: null\nsources:\n{source}\n---\n{body}\n", "utf-8"
        )
    embedder = HashEmbedder()
    index = build_index(Library(folder, tmp_path_factory.mktemp("data")).articles(), embedder, Lexicon())
    view = View(Searcher(index, embedder, Lexicon()))
    return OfferChecker(SignList.load(), Lexicon(), contacts, lambda: view, embedder.embed_query)


@pytest.mark.parametrize(
    ("language", "article_id"),
    [("zh-Hans", "zh-legal-visa"), ("zh-Hant", "zh-legal-visa"), ("th", "en-signs-of-a-false-offer")],
)
def test_a_sign_is_explained_by_a_quote_of_its_articles(quoting: OfferChecker, language: str, article_id: str) -> None:
    report = quoting.check("海外工作，旅游签入境", language=language)
    signal = next(s for s in report.signals if s.sign_id == "wrong-visa")
    by_n = {citation.n: citation for citation in report.citations}
    assert [by_n[n].article_id for n in signal.citations] == [article_id]
    assert [citation.n for citation in report.citations] == list(range(1, len(report.citations) + 1))
    assert all(set(s.citations) <= set(by_n) for s in report.signals)
    assert "zh-other" not in {citation.article_id for citation in report.citations}


def test_without_index_or_model_the_signs_are_marked_all_the_same(checker: OfferChecker, contacts: ContactList) -> None:
    def no_view() -> View:
        raise IndexMissingError("no index")

    def no_model(text: str) -> NDArray[np.float32]:
        raise RuntimeError("no model")

    broken = OfferChecker(SignList.load(), Lexicon(), contacts, no_view, no_model)
    report, expected = broken.check(SCAM), checker.check(SCAM)
    assert (report.verdict, report.score, report.signals) == (
        expected.verdict,
        expected.score,
        expected.signals,
    )
    assert report.citations == ()


def test_examples_find_what_no_pattern_says(contacts: ContactList) -> None:
    said = "这件事情只有我们两个知道就好"

    def embed(text: str) -> NDArray[np.float32]:
        return np.array([1, 0] if text == said else [0, 1], dtype=np.float32)

    plain = OfferChecker(SignList.load(), Lexicon(), contacts)
    alike = OfferChecker(SignList.load(), Lexicon(), contacts, embed=embed)
    text = f"有个机会，{said}。"
    assert "secrecy" not in ids(plain.check(text))
    signal = next(s for s in alike.check(text).signals if s.sign_id == "secrecy")
    assert signal.evidence == said


def test_places_come_from_the_lexicon_too(contacts: ContactList) -> None:
    lexicon = Lexicon.load(ROOT / "corpus" / "lexicon.yaml")
    report = OfferChecker(SignList.load(), lexicon, contacts).check("来班班市上班")
    assert [s.evidence for s in report.signals if s.sign_id == "high-risk-place"] == ["班班市"]


# The list of signs


def test_an_operator_adds_a_sign_without_code(tmp_path: Path, contacts: ContactList) -> None:
    path = tmp_path / "signs.yaml"
    added = (
        "signs:\n  - id: free-phone\n    class: strong\n    labels: {en: A free phone}\n"
        "    explanations: {en: A gift binds you.}\n    patterns: {en: ['free phone']}\n"
    )
    path.write_text(SIGNS_PATH.read_text("utf-8").replace("signs:\n", added, 1), "utf-8")
    checker = OfferChecker(SignList.load(path), Lexicon(), contacts)
    report = checker.check("Work abroad, FREE  phone for you")
    assert [s.evidence for s in report.signals if s.sign_id == "free-phone"] == ["FREE  phone"]
    assert report.verdict != "no_known_signs"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class: medium", "class: grave"), "strong, medium or weak"),
        (("id: no-experience", "id: pay-out-of-line"), "used twice"),
        (("'高薪'", "'(高薪'"), "no regular expression"),
        (("'高薪'", "'(?:高薪)?'"), "matches everything"),
        (("notices:", "notes:"), "must hold"),
    ],
    ids=["class", "repeated", "broken-pattern", "empty-pattern", "no-notices"],
)
def test_a_faulty_list_is_refused_by_name(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "signs.yaml"
    text = SIGNS_PATH.read_text("utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change), "utf-8")
    with pytest.raises(SignsError, match=message):
        SignList.load(path)


def test_find_spans_gives_places_in_the_text_as_typed() -> None:
    pattern = SignList.load().abroad
    text = "要去 海 外 工作"
    assert [text[s.start : s.end] for s in find_spans(pattern, fold_text(text))] == ["海 外"]


# Scores


def test_the_score_is_the_logistic_of_the_weights() -> None:
    signs = SignList.load()
    weights = OfferWeights(
        bias=-1.0, signs={"secrecy": 2.0}, reassurances={"work-visa": -9.0}, high_risk=0.8, suspicious=0.3
    )
    assert weights.score(signs, {"secrecy"}, ()) == pytest.approx(sigmoid(1.0))
    # All reassurances together are bounded, and an unknown strong sign weighs what its class weighs.
    assert weights.score(signs, {"secrecy"}, {"work-visa"}) == pytest.approx(sigmoid(-3.0))
    assert weights.score(signs, {"papers-wanted"}, ()) == pytest.approx(sigmoid(1.0))


def test_training_separates_and_can_be_read_again(tmp_path: Path) -> None:
    offers = read_offers(ROOT / "corpus" / "eval" / "offers-dev.jsonl")[::4]
    signs = SignList.load()
    findings = collect(offers, signs, Lexicon(), None)
    weights = fit(findings, [offer.is_scam for offer in offers], signs)
    assert all(weight > 0 for weight in weights.signs.values())
    assert all(weight < 0 for weight in weights.reassurances.values())
    write_weights(weights, tmp_path / "weights.yaml")
    assert OfferWeights.load(tmp_path / "weights.yaml") == weights


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(SignsError, match="train_offer"):
        OfferWeights.load(tmp_path / "none.yaml")


# Pasted into the chat


@pytest.mark.parametrize(
    ("text", "strictly", "loosely"),
    [
        (SCAM, True, True),
        ("招聘服务员，月薪4500，包吃住，到店面试", True, True),
        ("Hiring chat agents in Laos, salary $1500, free ticket, message on Telegram", True, True),
        ("รับสมัครแอดมินเว็บที่กัมพูชา รายได้ 50,000 ที่พักฟรี ติดต่อไลน์", True, True),
        ("招聘说去泰国做客服月薪两万包机票靠谱吗", False, True),
        ("过来跟我干，三天就走，机票我出，别告诉家里，走小路", False, True),
        ("从国外怎么拨打12308热线？", False, False),
        ("他们不让我走，护照被收了，我在妙瓦底", False, False),
        ("Is a tourist visa enough to work in Cambodia?", False, False),
        ("hello", False, False),
    ],
    ids=["scam", "honest", "en", "th", "asked", "no-word", "question", "emergency", "en-question", "short"],
)
def test_looks_like_offer(checker: OfferChecker, text: str, strictly: bool, loosely: bool) -> None:
    assert checker.looks_like_offer(text, strictly=True) is strictly
    assert checker.looks_like_offer(text, strictly=False) is loosely


def test_questions_of_the_evaluation_set_do_not_look_like_offers(checker: OfferChecker) -> None:
    for name, strictly in (("dev", True), ("dev-uncovered", False), ("dev-more-uncovered", False)):
        path = ROOT / "corpus" / "eval" / f"{name}.jsonl"
        questions = [json.loads(line)["question"] for line in path.read_text("utf-8").splitlines()]
        taken = [question for question in questions if checker.looks_like_offer(question, strictly=strictly)]
        assert len(taken) <= 0.01 * len(questions), taken


def test_pasted_offers_of_the_dev_split_are_recognised(checker: OfferChecker) -> None:
    texts = [o.text for o in read_offers(ROOT / "corpus" / "eval" / "offers-dev.jsonl") if o.is_scam]
    assert sum(checker.looks_like_offer(text, strictly=False) for text in texts) >= 0.85 * len(texts)
