"""Takes out of a text what tells who wrote it, before the text is logged or stored."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

import phonenumbers

from bot.contacts import ContactList

# Beyond this a text is cut: nothing longer is stored, and patterns stay fast.
MAX_CHARS = 20_000
# A run of so many digits is somebody's number, whatever kind it is; hotlines and years are shorter.
_MIN_DIGITS = 7


class _Found(NamedTuple):
    start: int
    end: int
    label: str


def redact(text: str, keep: Container[str] = frozenset()) -> str:
    """`text` with personal data replaced by labels such as `[phone]`; never raises.

    Args:
        keep: digit strings of hotlines that stay (see `hotline_digits`).
    """
    text = text[:MAX_CHARS]
    flat = _flat(text)
    found: list[_Found] = []
    for find in _FINDERS:
        found += find(flat)
    found += _numbers(flat, keep, found)
    parts: list[str] = []
    position = 0
    for item in _without_overlaps(found):
        parts += [text[position : item.start], f"[{item.label}]"]
        position = item.end
    return "".join((*parts, text[position:]))


def hotline_digits(contacts: ContactList) -> frozenset[str]:
    """The digit strings by which the numbers of the contact list may be written."""
    found: set[str] = set()
    for contact in contacts.contacts:
        for number in filter(None, (contact.number, contact.local)):
            digits = re.sub(r"[^0-9]", "", number)
            found |= {digits, digits.lstrip("0")}
            if number.startswith("+"):
                found.add("00" + digits)
                # Without its country code, as it is often copied: +86-10-65612308 as 010-65612308.
                rest = re.sub(r"[^0-9]", "", re.sub(r"^\+\d{1,3}[- ]", "", number))
                found |= {rest, "0" + rest}
    return frozenset(found - {""})


def _flat(text: str) -> str:
    """`text` with digits of all scripts and full-width letters made ASCII, character for character."""
    return "".join(_flat_char(char) for char in text)


def _flat_char(char: str) -> str:
    if char.isascii():
        return char
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    if "\uff01" <= char <= "\uff5e":
        return chr(ord(char) - 0xFEE0)
    return " " if char in "\u200b\u200c\u200d\u2060\u00a0\u3000" else char


def _without_overlaps(found: Iterable[_Found]) -> list[_Found]:
    """Findings in order; of overlapping ones the first counts and reaches to the end of the last."""
    merged: list[_Found] = []
    for item in sorted(found, key=lambda f: (f.start, -f.end)):
        if merged and item.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = last._replace(end=max(last.end, item.end))
        elif item.end > item.start:
            merged.append(item)
    return merged


# -- numbers -------------------------------------------------------------------------------------------------

_RUN = re.compile(r"(?<![0-9A-Za-z])\+?\(?[0-9](?:[-\s().·/]{0,3}[0-9]){6,40}[Xx]?(?![0-9A-Za-z])")
_DATES = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|1[0-2])[-/.](?:19|20)\d\d|(?:19|20)\d\d\s?[-/]\s?(?:19|20)\d\d)(?!\d)"
)
_SPELLED = re.compile(r"[零〇一二三四五六七八九幺两]{7,}")
_GLUED = re.compile(r"(?<![0-9])[0-9]{7,}[Xx]?(?![0-9])")


def _numbers(flat: str, keep: Container[str], before: list[_Found]) -> Iterator[_Found]:
    """Identity numbers, bank cards, phones and all other long numbers."""
    taken = [(item.start, item.end) for item in before]
    # Dates are no numbers of anybody, nor may they join what stands beside them.
    flat = _DATES.sub(lambda match: "#" * len(match[0]), flat)
    for match in phonenumbers.PhoneNumberMatcher(flat, None, leniency=phonenumbers.Leniency.POSSIBLE):
        taken.append((match.start, match.end))
        if not _is_kept(match.raw_string, keep):
            yield _Found(match.start, match.end, "phone")
    for pattern in (_RUN, _GLUED):
        for found in pattern.finditer(flat):
            if any(start < found.end() and found.start() < end for start, end in taken):
                continue
            taken.append(found.span())
            if not _is_kept(found[0], keep):
                yield _Found(found.start(), found.end(), _kind_of_number(found[0]))
    for found in _SPELLED.finditer(flat):
        yield _Found(found.start(), found.end(), "phone")


def _is_kept(raw: str, keep: Container[str]) -> bool:
    """Whether `raw` is a hotline, or several that stand side by side («12308 110»)."""
    digits = re.sub(r"[^0-9]", "", raw)
    if digits in keep or digits.lstrip("0") in keep:
        return True
    groups = [re.sub(r"[^0-9]", "", group) for group in re.split(r"[\s/]+", raw)]
    return len(groups) > 1 and all(group in keep for group in groups if group)


def _kind_of_number(raw: str) -> str:
    digits = re.sub(r"[^0-9Xx]", "", raw).upper()
    if is_chinese_identity(digits):
        return "id"
    if 13 <= len(digits) <= 19 and digits.isdigit() and passes_luhn(digits):
        return "card"
    return "phone" if 7 <= len(digits) <= 15 else "number"


def is_chinese_identity(digits: str) -> bool:
    """Whether `digits` (17 digits and a check character) is a Chinese identity number.

    Source:
        GB 11643-1999, check character by ISO 7064 MOD 11-2.
    """
    if not re.fullmatch(r"[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dX]", digits):
        return False
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(w * int(d) for w, d in zip(weights, digits, strict=False)) % 11] == digits[-1]


def passes_luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right (ISO/IEC 7812-1)."""
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


# -- everything that patterns find ----------------------------------------------------------------------------

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63})+", re.ASCII)
_HANDLE = re.compile(
    r"(?<![\w@])@[A-Za-z0-9_][\w.-]{1,40}"
    r"|(?:https?://)?(?:www\.)?(?:t\.me|wa\.me|line\.me|m\.me|zalo\.me|telegram\.me|facebook\.com|fb\.com|instagram\.com"
    r"|tiktok\.com|vk\.com|weibo\.com|x\.com|twitter\.com)/[^\s，。,;；]{2,80}"
    r"|(?:微信号?|微信id|wechat(?: id)?|weixin|(?<![a-z])[vw]x|(?<![a-z])v信|qq号?|telegram|(?<![a-z])tg|电报|飞机号?"
    r"|line ?id|whatsapp|zalo|facebook|skype|kakao(?:talk)?(?: id)?|카톡|라인|ライン|抖音号?|快手号?)"
    r"\s?(?:号码?|id|账号|帐号|is|是|為|为)?\s?[::=]?\s?(?=[A-Za-z0-9_.-]*[0-9_])[A-Za-z0-9_][\w.-]{3,40}",
    re.IGNORECASE | re.ASCII,
)
_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Za-z]{1,2}[0-9]{6,9}(?:\([0-9A]\)|[A-Za-z])?|[A-Za-z]{5}[0-9]{4}[A-Za-z])(?![A-Za-z0-9])"
    r"|(?:护照号码?|護照號碼?|passport (?:no|number|num)|nomor paspor|số hộ chiếu|เลขพาสปอร์ต|여권번호|旅券番号)"
    r"\s?[.:：是]*\s?[A-Za-z0-9]{6,12}",
    re.IGNORECASE,
)
_COORDINATES = re.compile(
    r"[-+]?\d{1,3}\.\d{3,}\s?°?\s?[NSns]?\s?[,，;\s]\s?[-+]?\d{1,3}\.\d{3,}\s?°?\s?[EWew]?"
    r"|\d{1,3}\s?°\s?\d{1,2}(?:\.\d+)?\s?['′’](?:\s?\d{1,2}(?:\.\d+)?\s?[\"″”])?\s?[NSEWnsew北南东西]?"
    r"|(?<!\w)[23456789CFGHJMPQRVWX]{4,8}\+[23456789CFGHJMPQRVWX]{2,3}(?!\w)"
    r"|/{3}\w+\.\w+\.\w+"
    r"|https?://(?:maps\.|www\.google\.[a-z.]+/maps|goo\.gl/maps|maps\.app|uri\.amap|j\.map\.baidu|surl\.amap)\S{3,200}"
)
_ADDRESS = re.compile(
    # Chinese: a division or street, then the number of a house; or what follows the word for address.
    r"[\u4e00-\u9fff]{0,24}(?:省|市|州|区|區|县|縣|镇|鎮|乡|鄉|村|路|街|巷|道|胡同|花园|里|弄)"
    r"[\u4e00-\u9fffA-Za-z]{0,8}\d{1,5}(?:号|號|栋|棟|幢|单元|室|楼|樓|弄|组|座|层)(?:[\u4e00-\u9fff\dA-Za-z-]{0,12}(?:号|號|室|楼|樓|层|栋)){0,4}"
    r"|(?:(?:家庭)?(?:住址|地址)|户籍(?:地)?|家住|老家(?:是|在)|身份证上的地址|住所|自宅|주소|집주소|địa chỉ|alamat(?: rumah)?"
    r"|ที่อยู่|បាសយដ្ឋាន|အိမ်လိပ်စာ|နေရပ်လိပ်စာ|पता|ठिकाना|ঠিকানা|ලිපිනය|anwani|አድራሻ|endere[çc]o|адрес|tirahan|home address|my address|address)"
    r"\s?(?:是|为|在|is|:|：|は|:|là|ko ay|ay|é|ni)\s?[^\n。，;；!?！？]{4,80}"
    # Latin: a number and a street in either order.
    r"|\d{1,5}[A-Za-z]?,? (?:[A-Z][\w'.-]+ ){1,4}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Way|Court|Ct|Place|Square)\b\.?"
    r"|(?:Jalan|Jl\.?|Rua|Avenida|Av\.|Calle|ул\.|улица|đường|ngõ|Soi|ถนน|ซอย) ?[\w .'-]{2,40},? ?(?:n[oº°.]* ?)?\d{1,5}(?:/\d+)?",
    re.IGNORECASE,
)
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆"
    "范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤"
    "張劉陳楊黃趙吳孫馬羅鄭謝許韓馮鄧蔣葉蘇呂盧鐘譚陸賈鄒龍賀顧龔萬錢嚴湯"
)
_AFTER_NAME = r"(?=[,，。.;；:：、!！?？\s\n(（]|被|在|去|说|失|的|从|给|今|于|已|还|没|不|和|跟|到|来|现|电话|手机|身份|护照|男|女|$)"
_NAME = re.compile(
    r"(?:我叫|我的名字(?:是|叫)|本人|名叫|名字(?:是|叫)?|姓名|他叫|她叫|(?:儿子|女儿|弟弟|哥哥|姐姐|妹妹|老公|老婆|丈夫|妻子|孩子|爸爸|妈妈|朋友|同学)"
    r"(?:的名字)?(?:叫|是))(?:做|：|:|是|\s)*(?P<han>(?![了不他她过人来去什这那])[\u4e00-\u9fff·]{2,4}?)"
    + _AFTER_NAME
    + rf"|(?:我是|我系|是|叫|弟弟|哥哥|姐姐|妹妹|儿子|女儿|老公|老婆|丈夫|妻子|朋友|同学|男友|女友)(?P<sur>[{_SURNAMES}][\u4e00-\u9fff]{{1,2}}?)"
    + _AFTER_NAME
    + r"|(?:my (?:full )?name(?: is|'s|:)|my name|(?:his|her) name is|name ?[:=]|i am called|i'm called|call me|named|tên (?:tôi|em|mình|con|anh|chị|cháu) là"
    r"|(?:tôi|em|mình|cháu) tên(?: là)?|nama (?:saya|aku|gue|lengkap(?: saya)?|dia|anak saya)(?: adalah| ialah|:)?|ang pangalan ko(?: po)? (?:ay|si)"
    r"|pangalan ko(?: po)?(?: ay| si)?|ako(?: po)? si|jina langu ni|naitwa|ninaitwa|meu nome (?:é|e)|me chamo|eu me chamo|меня зовут|моё имя|мое имя"
    r"|मेरा नाम|मेरो नाम|আমার নাম|මගේ නම|میرا نام|ስሜ|제 이름은|내 이름은|이름(?:은|:)|私の名前は|名前は|氏名は?)\s?[:：]?\s?"
    r"(?P<words>[^\W\d_][^\s,.;:!?，。；！？()（）।。]{0,24}(?:[ ][^\W\d_][^\s,.;:!?，。；！？()（）।]{0,24}){0,3})"
    r"|(?:ผมชื่อ|หนูชื่อ|ฉันชื่อ|ดิฉันชื่อ|ชื่อ|ຂ້ອຍຊື່|ຊື່|ខ្ញុំឈ្មោះ|ឈ្មោះ|ကျွန်တော့်နာမည်|ကျွန်မနာမည်|နာမည်က?)\s?(?P<run>[^\s,.;:!?\d]{2,30}(?: [^\s,.;:!?\d]{2,30})?)"
    r"|(?:我(?:的)?英文名是?)\s?(?P<latin>[A-Za-z]+(?: [A-Za-z]+)?)",
    re.IGNORECASE,
)
# «I am Ana Souza» is a name, «I am Kenyan» and «I am here» are not: two capitals tell.
_I_AM = re.compile(
    r"\b(?:I am|I'm|This is|Soy|Sou|Я)\s(?P<two>[A-ZÀ-ÝА-Я][a-zà-ÿа-я'’-]{1,20} [A-ZÀ-ÝА-Я][a-zà-ÿа-я'’-]{1,20})"
)
_NOT_NAMES = re.compile(
    r"\b(?:and|i|im|is|am|are|from|in|at|to|was|who|but|he|she|they|my|we|please|help|tolong|saya|aku|dan|dari|di|umur|và|ở|bị|từ|po|at|nasa|taga|na|kutoka|niko|"
    r"e|de|estou|sou|do|da|и|из|я|в|है|और|में|से|হল|এবং|और|입니다|이에요|です|と申します)\b.*$",
    re.IGNORECASE,
)


def _matches(pattern: re.Pattern[str], label: str) -> Callable[[str], list[_Found]]:
    def find(flat: str) -> list[_Found]:
        return [_Found(m.start(), m.end(), label) for m in pattern.finditer(flat)]

    return find


def _names(flat: str) -> list[_Found]:
    """Names after «my name is» in all languages; the words before them stay."""
    found = []
    for match in _NAME.finditer(flat):
        group = next(name for name, value in match.groupdict().items() if value is not None)
        start, end = match.span(group)
        if group == "words":
            # A name ends where the sentence goes on.
            first, *rest = flat[start:end].split(" ", 1)
            tail = _NOT_NAMES.sub("", rest[0]) if rest else ""
            end = start + len(f"{first} {tail}".rstrip())
        found.append(_Found(start, end, "name"))
    found += [_Found(*match.span("two"), "name") for match in _I_AM.finditer(flat)]
    return found


_FINDERS: tuple[Callable[[str], list[_Found]], ...] = (
    _matches(_EMAIL, "email"),
    _matches(_COORDINATES, "coordinates"),
    _matches(_HANDLE, "handle"),
    _matches(_PASSPORT, "passport"),
    _matches(_ADDRESS, "address"),
    _names,
)
