"""What kind of thing a question asks for, and whether a sentence holds such a thing."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["phone", "count", "date"]

_PHONE = re.compile(
    r"电话|電話|(?:怎么|怎样|如何|怎麼|點樣?|能|可以)(?:打|拨|撥|联系|聯繫|聯絡)|号码|號碼|热线|熱線|打给谁|打給誰|打哪|拨什么|拨多少|打多少|\bphone\b|\bnumber to call\b|\bhotline\b|\bcall\b|\bdial\b|"
    r"điện thoại|đường dây|gọi số|số nào|สายด่วน|เบอร์|โทร|nomor|telepon|hotline|talian|nombor|telefon|"
    r"ဖုန်း|နံပါတ်|ទូរស័ព្ទ|លេខ|전화|번호|numero|telepono|tawag|फ़ोन|फोन|नंबर|ফোন|নম্বর|número|telefone|ligar|simu|nambari|ስልክ|ቁጥር|фон",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"多少|几个|几名|几人|几年|幾|\bhow (many|much|long|old)\b|bao nhiêu|mấy|เท่าไ|กี่|berapa|ဘယ်လောက်|ဘယ်နှစ်|ប៉ុន្មាន|何人|何件|いくら|どのくらい|"
    r"몇|얼마|ilan|magkano|gaano|कितन|কত|quant[oa]s?|ngapi|kiasi gani|ስንት",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"什么时候|什麼時候|何时|何時|哪年|哪天|几月|几号|哪一年|\bwhen\b|\bwhat (date|year|day)\b|khi nào|bao giờ|เมื่อไ|kapan|bila\b|ဘယ်တော့|ဘယ်နေ့|"
    r"ពេលណា|いつ|언제|kailan|कब|কখন|কবে|quando|lini\b|መቼ",
    re.IGNORECASE,
)
_HAS_PHONE = re.compile(
    r"\+\d[\d \-()]{6,}|(?<!\d)(?:1\d{2,4}|9\d{2}|0404|0800[\d-]{5,}|800[\d-]{3,}|\(?0\d{1,3}\)?[ -]\d{3,4}[ -]?\d{3,4})(?!\d)"
)
_HAS_NUMBER = re.compile(
    r"\d|[一二三四五六七八九十百千万两]+(?:人|名|年|个|件|天|亿|万)|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|dozens?|hundreds?|thousands?|million)\b",
    re.I,
)
_HAS_DATE = re.compile(
    r"(?:19|20)\d\d|\d{1,2}\s?[月日]|\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b|25[67]\d|[০-৯]{4}|[၀-၉]{4}"
)


def asked_kinds(question: str) -> frozenset[Kind]:
    """The kinds of thing that `question` asks for; often none."""
    kinds: set[Kind] = set()
    if _PHONE.search(question):
        kinds.add("phone")
    if _COUNT.search(question) and not kinds:
        kinds.add("count")
    if _DATE.search(question):
        kinds.add("date")
    return frozenset(kinds)


def holds_kind(sentence: str, kind: Kind, question: str = "") -> bool:
    """Whether `sentence` holds a thing of `kind` that does not already stand in `question`.

    Who asks how to dial 12308 is not helped by a sentence that only names 12308.
    """
    pattern = {"phone": _HAS_PHONE, "count": _HAS_NUMBER, "date": _HAS_DATE}[kind]
    given = set(re.findall(r"\d+", question))
    return any(re.sub(r"\D", "", match[0]) not in given for match in pattern.finditer(sentence))
