"""Static files: put together once, named by their content, kept compressed in memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from retrieval import LANGUAGES
from web.strings import BUILT_IN_LANGUAGES, HOST_COUNTRIES, LANGUAGE_NAMES, LIKELY_NATIONALITY, words

STATIC_DIR = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
IMMUTABLE = "public, max-age=31536000, immutable"
SHORT = "public, max-age=600, stale-while-revalidate=86400"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent: plain and compressed, with its entity tag."""

    body: bytes
    compressed: bytes
    media_type: str
    digest: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> Asset:
        """`body` made ready to be sent."""
        return cls(body, gzip.compress(body, 9, mtime=0), media_type, hashlib.sha256(body).hexdigest()[:12])

    def response(self, request: Request, cache_control: str) -> Response:
        """The file, or 304 where the browser holds it already."""
        headers = {"ETag": f'"{self.digest}"', "Cache-Control": cache_control, "Vary": "Accept-Encoding"}
        if self.digest in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(self.compressed, headers=headers, media_type=self.media_type)
        return Response(self.body, headers=headers, media_type=self.media_type)


@lru_cache(maxsize=1)
def assets() -> Mapping[str, Asset]:
    """Every static file by its name below `/static/`, without the hash."""
    found: dict[str, Asset] = {}
    for path in sorted(STATIC_DIR.rglob("*")):
        if path.suffix in _TYPES and path.is_file():
            name = path.relative_to(STATIC_DIR).as_posix()
            text = path.read_text("utf-8")
            if path.suffix == ".css":
                text = small_css(text)
            elif name == "widget.js":
                text = _widget(text)
            elif path.suffix == ".js":
                text = small_js(text)
            found[name] = Asset.of(text.encode(), _TYPES[path.suffix])
    for language in LANGUAGES:
        strings = {**words(language).widget, "countries": dict(words(language).countries)}
        found[f"strings/{language}.json"] = Asset.of(_compact(strings), _TYPES[".json"])
    return found


def asset_url(name: str) -> str:
    """The address of a static file, with the hash of its content, so that browsers may keep it for ever."""
    stem, suffix = name.rsplit(".", 1)
    return f"/static/{stem}.{assets()[name].digest}.{suffix}"


def find_asset(path: str) -> tuple[Asset, str] | None:
    """The file at `/static/<path>`, with or without hash, and how long it may be kept.

    None where there is no such file.
    """
    if path in assets():
        return assets()[path], SHORT
    hashed = re.fullmatch(r"(.+)\.([0-9a-f]{12})(\.[a-z]+)", path)
    asset = assets().get(hashed[1] + hashed[3]) if hashed else None
    # A page from before an update asks by the old hash: it gets the new file, for a short time only.
    return (asset, IMMUTABLE if hashed and asset.digest == hashed[2] else SHORT) if asset else None


def small_css(text: str) -> str:
    """`text` without comments and needless white space."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ?([{};,]) ?", r"\1", text).replace(";}", "}").strip()


def small_js(text: str) -> str:
    """`text` without indentation, empty lines and lines that are comments.

    Our scripts hold no string that runs over lines, which is all that this relies on.
    """
    lines = (line.strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"


def _widget(source: str) -> str:
    """widget.js with its style and its words put in."""
    built_in = {
        language: {**words(language).widget, "countries": dict(words(language).countries)}
        for language in BUILT_IN_LANGUAGES
    }
    # English names of countries come from the browser; those of other languages not every browser knows.
    for strings in built_in.values():
        del strings["countries"]
    parts: dict[str, object] = {
        "__STRINGS__": built_in,
        "__LANGUAGES__": LANGUAGE_NAMES,
        "__LIKELY__": LIKELY_NATIONALITY,
        "__HOSTS__": " ".join(HOST_COUNTRIES),
        "__COUNTRIES__": " ".join(words("en").countries),
        "__CSS__": small_css((STATIC_DIR / "widget.css").read_text("utf-8")),
    }
    source = small_js(source)
    for name, value in parts.items():
        source = source.replace(name, _compact(value).decode())
    return source


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
