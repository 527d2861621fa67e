"""The fixed texts: complete, short, and safe for somebody over whose shoulder somebody looks."""

from __future__ import annotations

import re

import pytest

from bot.emergency import card_lines, card_notice
from bot.texts import catalogue, text
from retrieval import LANGUAGES

# What a trapped person is never told, as it is said in each language: call aloud, run, confront, pay, delete evidence.
NEVER_TRAPPED = {
    "zh-Hans": "大声|逃跑|逃走|快跑|跑出|反抗|付钱|交钱|赎金|删除|删掉",
    "zh-Hant": "大聲|逃跑|逃走|快跑|跑出|反抗|付錢|交錢|贖金|刪除|刪掉",
    "en": r"\b(aloud|loud|shout|run|escape|flee|confront|fight|pay|ransom|delete|erase)\b",
    "vi": "hét|bỏ chạy|chạy trốn|chống cự|trả tiền|tiền chuộc|xóa",
    "th": "ตะโกน|หนี|วิ่ง|ต่อสู้|จ่าย|ค่าไถ่|ลบ",
    "id": r"\b(teriak|lari|kabur|lawan|bayar|tebusan|hapus)",
    "ms": r"\b(jerit|lari|lawan|bayar|tebusan|padam)",
    "my": "အော်|ထွက်ပြေး|ခုခံ|ပေးချေ|ပြန်ရွေးငွေ|ဖျက်",
    "km": "ស្រែក|រត់គេច|តតាំង|បង់ប្រាក់|លោះ|លុប",
    "lo": "ຮ້ອງດັງ|ໜີ|ແລ່ນ|ຕໍ່ສູ້|ຈ່າຍ|ຄ່າໄຖ່|ລຶບ",
    "ja": "大声|逃げ|走|抵抗|支払|払|身代金|削除|消",
    "ko": "큰 소리|도망|달아나|뛰|저항|지불|몸값|삭제|지우",
    "tl": r"\b(sumigaw|tumakbo|tumakas|lumaban|magbayad|ransom|burahin)",
    "hi": "ज़ोर से|भाग|दौड़|मुकाबला|भुगतान|फिरौती|मिटा|हटा",
    "bn": "জোরে|পালা|দৌড়|রুখে|টাকা|মুক্তিপণ|মুছ",
    "ne": "ठूलो स्वर|भाग|दौड|सामना|तिर्|फिरौती|मेट",
    "si": "කෑගස|පැන|දුවන|මුහුණ දෙ|ගෙවන|කප්පම්|මකන",
    "ur": "اونچی|بھاگ|دوڑ|مقابلہ|ادائیگی|تاوان|مٹا",
    "sw": r"\b(piga kelele|kimbia|toroka|pigana|lipa|fidia|futa)",
    "am": "ጩኹ|ሩጡ|አምልጡ|ተጋፈጡ|ይክፈሉ|ቤዛ|ይሰርዙ",
    "pt": r"\b(grite|em voz alta|corra|fuja|fugir|confronte|pague|pagar|resgate|apague)\b",
    "ru": r"крич|громк|беги|сбеж|бежать|дерит|плати|выкуп|удали|сотри",
}
# No place and no crime where somebody may read along.
REVEALING = re.compile(
    "诈骗|詐騙|园区|園區|绑架|scam|compound|traffick|kidnap|lừa đảo|สแกม|penipuan|詐欺|사기|golpe|мошенн", re.IGNORECASE
)
BLAMING = re.compile(
    "受害者|犯罪分子|罪犯|victim|criminal|your fault|nạn nhân|เหยื่อ|korban|mangsa|被害者|피해자|biktima|vítima|жертв",
    re.IGNORECASE,
)


def test_every_text_is_there_in_every_language() -> None:
    assert len(catalogue()) >= 19
    missing = [(key, language) for key, by in catalogue().items() for language in LANGUAGES if not by.get(language)]
    assert missing == []


def test_no_text_holds_a_number_to_dial() -> None:
    # Numbers come from the contact list alone, where they have a source and a date.
    assert [key for key, by in catalogue().items() for said in by.values() if re.search(r"\d{3}", said)] == []


def test_a_test_of_wording_covers_every_language() -> None:
    assert set(NEVER_TRAPPED) == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_card_of_a_trapped_person_is_safe(language: str) -> None:
    kinds = {"self_harm": False, "violence": False}
    said = [
        *card_lines("trapped", language, **kinds),
        card_notice("trapped", language, **kinds),
        text("card_where", language),
    ]
    assert len(said) == 5
    for line in said:
        assert not re.search(NEVER_TRAPPED[language], line.casefold()), line
        assert not REVEALING.search(line), line
        assert not BLAMING.search(line), line


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_card_of_a_family_tells_nobody_to_pay_and_blames_nobody(language: str) -> None:
    kinds = {"self_harm": False, "violence": False}
    said = card_lines("family", language, **kinds)
    assert text("card_family_pay", language) in said
    assert not any(BLAMING.search(line) for line in said)


def test_a_card_for_self_harm_keeps_what_a_trapped_person_needs() -> None:
    said = card_lines("trapped", "en", self_harm=True, violence=False)
    assert text("card_self_harm", "en") in said
    assert text("card_text", "en") in said
