"""Which language a text is written in, also when it is short."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import opencc

if TYPE_CHECKING:
    from lingua import LanguageDetector

# Languages of the interface (CONTRACT), in the order in which they are offered.
LANGUAGES = [
    "zh-Hans",
    "zh-Hant",
    "en",
    "vi",
    "th",
    "id",
    "ms",
    "my",
    "km",
    "lo",
    "ja",
    "ko",
    "tl",
    "hi",
    "bn",
    "ne",
    "si",
    "ur",
    "sw",
    "am",
    "pt",
    "ru",
]

# Scripts that only one of our languages uses. The order matters: kana before Han.
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
    ("lo", re.compile(r"[\u0e80-\u0eff]")),
    ("my", re.compile(r"[\u1000-\u109f\uaa60-\uaa7f]")),
    ("km", re.compile(r"[\u1780-\u17ff]")),
    ("am", re.compile(r"[\u1200-\u139f]")),
    ("bn", re.compile(r"[\u0980-\u09ff]")),
    ("si", re.compile(r"[\u0d80-\u0dff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("ur", re.compile(r"[\u0600-\u06ff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
)
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏḀ-ỿ]")
_VIETNAMESE = re.compile(r"[ăđơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", re.IGNORECASE)
# Everyday words that settle what a few letters leave open: Indonesian and Malay above all.
_HINTS = {
    "id": "bisa gimana bagaimana polisi kantor kamboja kedutaan karena kalau gak nggak saya kerja keluarga uang tidak anda apakah",
    "ms": "boleh macam mana polis kemboja kedutaan sebab kalau tak saya kerja keluarga wang tidak awak adakah malaysia bekerja ditipu talian",
    "tl": "ang ng mga po sa ko ako kami paano saan sino ano hindi wala nila kuha tulong trabaho",
    "sw": "ya na wa kwa nini vipi nani nambari simu kazi msaada kama gani nimefungwa ndugu yangu",
    "pt": "o a os que de não para como você eu meu minha emprego ligar ajuda estou",
    "en": "the a an is are what how who where when can i my me to of in for not do does job help call police they he she",
    "vi": "toi khong lam viec goi giup bi lua sang cong nhu the nao ai o dau nguoi nha duoc",
}
_WORDS = {language: frozenset(words.split()) for language, words in _HINTS.items()}
_MIN_LATIN_SHARE_WORDS = 3


@lru_cache(maxsize=1)
def _detector() -> LanguageDetector:
    # Imported late: the models take a second to load and questions in other scripts never need them.
    from lingua import Language, LanguageDetectorBuilder

    languages = (
        Language.ENGLISH,
        Language.VIETNAMESE,
        Language.INDONESIAN,
        Language.MALAY,
        Language.TAGALOG,
        Language.PORTUGUESE,
        Language.SWAHILI,
    )
    return LanguageDetectorBuilder.from_languages(*languages).build()


@lru_cache(maxsize=2)
def _converter(direction: str) -> opencc.OpenCC:
    return opencc.OpenCC(direction)


def chinese_script(text: str) -> str:
    """`zh-Hant` when more characters of `text` are traditional-only than simplified-only, else `zh-Hans`."""
    han = "".join(_HAN.findall(text))
    n_traditional = sum(a != b for a, b in zip(han, _converter("t2s").convert(han), strict=False))
    n_simplified = sum(a != b for a, b in zip(han, _converter("s2t").convert(han), strict=False))
    return "zh-Hant" if n_traditional > n_simplified else "zh-Hans"


def detect_language(text: str, default: str | None = None) -> str | None:
    """BCP 47 tag of the language of `text`, or `default` when nothing in it tells (digits, a name, an emoji)."""
    counts = {language: len(pattern.findall(text)) for language, pattern in _SCRIPTS}
    n_han, n_latin = len(_HAN.findall(text)), len(_LATIN.findall(text))
    language, n = max(counts.items(), key=lambda item: item[1])
    # A Chinese or English question may hold a foreign place name, a Japanese one is mostly Chinese characters.
    if n and (n * 2 >= n_han if language == "ja" else n > n_han) and n * 2 >= n_latin:
        return language
    if n_han and n_han * 3 >= n_latin:
        if language == "ja" and n:
            return "ja"
        return chinese_script(text)
    words = re.findall(r"[^\W\d_]+", text.casefold())
    if n_latin < 2 or not words:
        return default
    if _VIETNAMESE.search(text):
        return "vi"
    return _latin_language(text, words, default)


def _latin_language(text: str, words: list[str], default: str | None) -> str | None:
    hits = {language: sum(word in known for word in words) for language, known in _WORDS.items()}
    confidences = {
        c.language.iso_code_639_1.name.lower(): c.value for c in _detector().compute_language_confidence_values(text)
    }
    scores = {language: confidences.get(language, 0.0) + 0.6 * n / len(words) for language, n in hits.items()}
    best = max(sorted(scores), key=lambda language: scores[language])
    if len(words) < _MIN_LATIN_SHARE_WORDS and not hits[best]:
        # «KK Park» or a misspelt name: no language of its own.
        return default
    return best


def guess_language(text: str) -> str:
    """The language of an article; `und` when it cannot be told."""
    return detect_language(text[:4000]) or "und"
