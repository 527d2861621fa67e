"""The language of short texts, as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.language import LANGUAGES, chinese_script, detect_language, guess_language

TEXTS = {
    "zh-Hans": [
        "怎么报警",
        "我弟弟被骗到缅甸了",
        "KK园区在哪",
        "护照被扣了怎么办？",
        "去Sihanoukville做客服靠谱吗",
    ],
    "zh-Hant": ["怎麼報警", "我弟弟被騙到緬甸了", "護照被扣了怎麼辦？", "在園區裡怎麼聯絡警察"],
    "en": [
        "help me",
        "who do I call in Cambodia?",
        "my brother is trapped in a scam compound",
        "is this job a scam",
    ],
    "vi": ["tôi bị lừa sang Campuchia", "gọi cho ai khi bị bắt", "làm sao để về nước"],
    "th": ["ช่วยด้วย", "ถูกหลอกไปทำงานที่กัมพูชา", "โทรหาใครดี"],
    "id": [
        "bagaimana cara lapor polisi di Kamboja",
        "adik saya ditipu kerja di Kamboja, bisa minta tolong ke siapa",
    ],
    "ms": ["macam mana nak lapor polis di Kemboja", "adik saya kena tipu kerja di Kemboja, boleh tolong tak"],
    "my": ["ကူညီပါ", "ကျွန်တော့်ညီ အလိမ်ခံရတယ်"],
    "km": ["ជួយខ្ញុំផង", "ខ្ញុំត្រូវគេបោកប្រាស់"],
    "lo": ["ຊ່ວຍແດ່", "ຂ້ອຍຖືກຕົວະໄປເຮັດວຽກ"],
    "ja": ["助けてください", "弟がミャンマーで監禁されています", "海外求人は詐欺ですか"],
    "ko": ["도와주세요", "동생이 캄보디아에 갇혀 있어요"],
    "tl": ["tulungan po ninyo ako", "saan ako tatawag kung na-scam ako sa trabaho"],
    "hi": ["मेरी मदद करो", "मेरा भाई म्यांमार में फंसा है"],
    "bn": ["আমাকে সাহায্য করুন", "আমার ভাই কম্বোডিয়ায় আটকে আছে"],
    "si": ["මට උදව් කරන්න", "මගේ සහෝදරයා හිරවෙලා"],
    "ur": ["میری مدد کریں", "میرا بھائی پھنس گیا ہے"],
    "sw": ["ndugu yangu amefungwa Myanmar nifanye nini", "nambari ya simu ya ubalozi"],
    "am": ["እርዱኝ", "ወንድሜ ማይናማር ውስጥ ታስሯል"],
    "pt": ["meu irmão está preso no Camboja", "para quem eu devo ligar"],
    "ru": ["помогите мне", "моего брата обманули"],
}
CASES = [(language, text) for language, texts in TEXTS.items() for text in texts]


def test_every_language_but_nepali_has_texts() -> None:
    # Nepali is written like Hindi, and the two are told apart nowhere.
    assert set(TEXTS) == set(LANGUAGES) - {"ne"}


@pytest.mark.parametrize(("language", "text"), CASES)
def test_short_texts(language: str, text: str) -> None:
    assert detect_language(text) == language


@pytest.mark.parametrize("text", ["", " ", "117", "12308?", "😀", "+86-10-12308", "a", "...", "\0", "\ud800"])
def test_nothing_tells(text: str) -> None:
    assert detect_language(text) is None
    assert detect_language(text, "vi") == "vi"
    assert guess_language(text) == "und"


@pytest.mark.parametrize("text", ["KK Park", "Myawaddy", "Sihanoukville"])
def test_a_name_alone_is_of_no_language(text: str) -> None:
    assert detect_language(text, "zh-Hans") == "zh-Hans"


def test_a_foreign_name_does_not_decide() -> None:
    assert detect_language("เมียวดี在哪里，怎么从那里出来") == "zh-Hans"
    assert detect_language("What is 妙瓦底 and how do I get out of there?") == "en"


def test_characters_that_both_scripts_share_are_simplified() -> None:
    assert chinese_script("中国人") == "zh-Hans"
    assert chinese_script("中文") == "zh-Hans"
    assert chinese_script("中國人") == "zh-Hant"


@given(st.text())
def test_any_text_gives_one_of_ours_or_nothing(text: str) -> None:
    assert detect_language(text) in {*LANGUAGES, None}
