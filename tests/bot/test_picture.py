from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot import picture
from bot.errors import PictureError
from bot.picture import MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS, QR_LINE, read_picture

Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")
ImageFont = pytest.importorskip("PIL.ImageFont")
pytest.importorskip("rapidocr")

CHINESE = ["海外高薪招聘客服打字员", "月薪三万起，包机票食宿", "无需经验，旅游签入境"]
ENGLISH = [
    "Customer service abroad, high salary",
    "No experience needed, free ticket",
    "Tourist visa is fine",
]
CHINESE_FONTS = ["NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-microhei.ttc", "wqy-zenhei.ttc"]
LATIN_FONTS = ["DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf"]


def font_file(names: Sequence[str]) -> str:
    """A font of this machine; without one a test is skipped."""
    for folder in ("/usr/share/fonts", "/usr/local/share/fonts", str(Path.home() / ".fonts")):
        for name in names:
            found = next(iter(sorted(Path(folder).rglob(name))), None)
            if found is not None:
                return str(found)
    pytest.skip(f"none of the fonts {', '.join(names)} is installed (try fonts-noto-cjk, fonts-dejavu-core)")


def encode(image: Image.Image, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def page(lines: Sequence[str], font: str, *, ink: object = "black", ground: object = "white") -> Image.Image:
    letters = ImageFont.truetype(font, 34)
    image = Image.new("RGB", (900, 90 * len(lines) + 120), ground)
    for row, line in enumerate(lines):
        ImageDraw.Draw(image).text((60, 60 + row * 90), line, font=letters, fill=ink)
    return image


def chat(lines: Sequence[str], font: str) -> Image.Image:
    """Dark mode: grey bubbles on the left, green ones on the right."""
    letters = ImageFont.truetype(font, 34)
    image = Image.new("RGB", (1000, 130 * len(lines) + 120), (17, 17, 17))
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        width = draw.textlength(line, font=letters) + 60
        left, top = (60 if row % 2 == 0 else 940 - width), 60 + row * 130
        draw.rounded_rectangle(
            (left, top, left + width, top + 90), 20, fill=(44, 44, 44) if row % 2 == 0 else (62, 179, 93)
        )
        draw.text((left + 30, top + 20), line, font=letters, fill="white" if row % 2 == 0 else "black")
    return image


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_chinese_is_read_whichever_way_up(degrees: int) -> None:
    image = page(CHINESE, font_file(CHINESE_FONTS)).rotate(degrees, expand=True, fillcolor="white")
    assert read_picture(encode(image)).splitlines() == CHINESE


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_each_format_is_read(form: str) -> None:
    assert read_picture(encode(page(ENGLISH, font_file(LATIN_FONTS)), form)).splitlines() == ENGLISH


def test_dark_chat_bubbles_are_read_in_order() -> None:
    assert read_picture(encode(chat(CHINESE, font_file(CHINESE_FONTS)))).splitlines() == CHINESE


def test_white_words_on_nothing_are_read() -> None:
    letters = ImageFont.truetype(font_file(LATIN_FONTS), 34)
    image = Image.new("RGBA", (900, 200), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((60, 60), ENGLISH[0], font=letters, fill=(255, 255, 255, 255))
    assert read_picture(encode(image)) == ENGLISH[0]


def test_the_camera_says_which_way_is_up() -> None:
    image = page(ENGLISH, font_file(LATIN_FONTS))
    exif = Image.Exif()
    exif[0x0112] = 6  # the pixels lie on their left side
    stream = io.BytesIO()
    image.rotate(90, expand=True).save(stream, "JPEG", exif=exif)
    assert read_picture(stream.getvalue()).splitlines() == ENGLISH


@pytest.mark.slow
def test_a_long_screenshot_is_read_without_gaps_or_repeats() -> None:
    lines = [f"Line {number} about work abroad" for number in range(100, 140)]
    assert read_picture(encode(page(lines, font_file(LATIN_FONTS)))).splitlines() == lines


def test_a_qr_code_is_noted_and_not_read() -> None:
    cv2 = pytest.importorskip("cv2")
    image = page(ENGLISH, font_file(LATIN_FONTS))
    code = cv2.QRCodeEncoder.create().encode("https://example.org/secret")
    code = Image.fromarray(cv2.resize(code, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST))
    both = Image.new("RGB", (900, image.height + code.height + 120), "white")
    both.paste(image, (0, 0))
    both.paste(code, (300, image.height + 40))
    text = read_picture(encode(both))
    assert text.splitlines()[-1] == QR_LINE
    assert "secret" not in text
    assert QR_LINE not in read_picture(encode(image))


def reason(data: bytes) -> str:
    with pytest.raises(PictureError) as raised:
        read_picture(data)
    return raised.value.reason


def png_of_size(width: int, height: int) -> bytes:
    """A PNG header that claims a size, with next to nothing behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_blank_picture_has_no_words() -> None:
    assert reason(encode(Image.new("RGB", (300, 200), "white"))) == "no_text"


@pytest.mark.parametrize("size", [(6000, 5000), (12_000, 9000), (60_000, 60_000)])
def test_bombs_are_refused_by_their_header(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert size[0] * size[1] > MAX_PICTURE_PIXELS
    monkeypatch.setattr(picture, "_opaque", lambda image: pytest.fail("the pixels were unpacked"))
    assert reason(png_of_size(*size)) == "too_many_pixels"


def test_a_real_bomb_of_few_bytes_is_refused() -> None:
    bomb = encode(Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 200_000
    assert reason(bomb) == "too_many_pixels"


def test_too_many_bytes_are_refused_before_they_are_looked_at() -> None:
    assert reason(b"\x89PNG\r\n\x1a\n" + bytes(MAX_PICTURE_BYTES)) == "too_large"


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(form: str) -> None:
    assert reason(encode(Image.new("RGB", (40, 40)), form)) == "unknown_format"


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert reason(data) == "unknown_format"


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_moving_pictures_are_refused(form: str) -> None:
    frames = [Image.new("RGB", (40, 40), shade) for shade in ("white", "black")]
    stream = io.BytesIO()
    frames[0].save(stream, form, save_all=True, append_images=frames[1:])
    assert reason(stream.getvalue()) == "animated"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_cut_off_pictures_are_damaged(form: str) -> None:
    data = encode(page(ENGLISH, font_file(LATIN_FONTS)), form)
    assert reason(data[: len(data) // 2]) == "damaged"


def test_a_reader_that_stays_busy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.Lock()
    monkeypatch.setattr(picture, "_reading", lock)
    monkeypatch.setattr(picture, "WAIT_LIMIT_S", 0.01)
    with lock:
        assert reason(encode(Image.new("RGB", (40, 40)))) == "busy"


def test_nothing_more_is_read_after_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "TIME_LIMIT_S", -1.0)
    monkeypatch.setattr(picture, "_has_qr_code", lambda pixels: False)
    assert reason(encode(Image.new("RGB", (400, 300), "white"))) == "no_text"


def test_pictures_can_be_read_from_several_threads() -> None:
    data = encode(page(ENGLISH[:1], font_file(LATIN_FONTS)))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(read_picture(data))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ENGLISH[:1] * 3


def test_importing_the_reader_is_light() -> None:
    import subprocess
    import sys

    heavy = ("cv2", "rapidocr", "onnxruntime", "PIL")
    code = f"import sys, bot.picture; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
