"""Reads the words in a picture of an offer: in memory, within limits, without the network."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bot.errors import PictureError
from retrieval import clean

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

MAX_PICTURE_BYTES = 8 * 2**20
MAX_PICTURE_PIXELS = 25_000_000
FORMATS = ("PNG", "JPEG", "WEBP")
# The one recognition model that ships with rapidocr (PP-OCRv6 small) knows Chinese, Latin letters and kana.
# Pictures in Thai, Burmese, Khmer, Lao, Korean, Hindi, Bengali, Nepali, Sinhala, Urdu, Amharic or Russian
# give no words.
READABLE_LANGUAGES = ("zh-Hans", "zh-Hant", "en", "id", "ms", "tl", "pt", "sw", "ja")
# Letters with two marks (ệ, ẻ, ầ) are not in the model's alphabet, so that most words come out with gaps.
PARTLY_READABLE_LANGUAGES = ("vi",)
QR_LINE = "[QR code]"
# In pixels of a picture of 1600; a smaller code could not be scanned off a screen.
MIN_QR_SIDE = 30

# No reading starts after this; one that has started takes a few seconds at most for a tile.
TIME_LIMIT_S = 20.0
# A picture waits this long for another to be read.
WAIT_LIMIT_S = 30.0
# A long screenshot is read in parts, or its letters would shrink below what can be read.
TILE_SIDE = 1600
TILE_OVERLAP = 120
# A line that ends this near to a cut may have been cut through.
CUT_MARGIN = 12
MAX_TILES = 8
MAX_LINES = 300
MIN_LINE_CONFIDENCE = 0.55
# Below this the picture may lie on its side or upside down, and the other ways up are tried.
SURE_CONFIDENCE = 0.9

_reading = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as read; `top`, `bottom` and `left` in pixels, `confidence` 0..1."""

    text: str
    confidence: float
    top: float
    bottom: float
    left: float
    is_tall: bool


@dataclass(frozen=True, slots=True)
class _Tile:
    """A part of a picture from row `top` on, and whether the picture goes on above and below it."""

    pixels: NDArray[np.uint8]
    top: int
    cut_above: bool
    cut_below: bool

    def holds(self, line: _Line) -> bool:
        """Whether the whole line stands in this part: one cut through is read from its neighbour."""
        height = self.pixels.shape[0]
        return not (self.cut_above and line.top < CUT_MARGIN) and not (
            self.cut_below and line.bottom > height - CUT_MARGIN
        )


def read_picture(data: bytes) -> str:
    """The words in the PNG, JPEG or WebP picture `data`, line by line, upright whichever way up it is.

    A QR code is noted as the line `[QR code]`; it is never decoded nor opened.

    Raises:
        PictureError: the picture is over the limits, damaged, moving or of another format, or has no words
            that the model can read (see READABLE_LANGUAGES).
    """
    pixels = _pixels(data)
    if not _reading.acquire(timeout=WAIT_LIMIT_S):
        raise PictureError("busy", "other pictures are being read; try again in a minute")
    try:
        deadline = time.monotonic() + TIME_LIMIT_S
        has_qr = _has_qr_code(pixels)
        lines = _read_any_way_up(pixels, deadline)
    except ImportError as error:
        raise PictureError("unavailable", f"pictures cannot be read: {error}; run `make install`") from error
    finally:
        _reading.release()
    words = [clean(line).strip() for line in lines]
    words = [word for word in words if word]
    if has_qr:
        words.append(QR_LINE)
    if not words:
        raise PictureError("no_text", "no words were found in the picture; type or paste them instead")
    return "\n".join(words)


def _pixels(data: bytes) -> NDArray[np.uint8]:
    """(height, width, 3) RGB, turned as the camera says.

    Raises:
        PictureError: see `read_picture`.
    """
    if len(data) > MAX_PICTURE_BYTES:
        raise PictureError("too_large", f"the picture is larger than {MAX_PICTURE_BYTES // 2**20} MB; crop it")
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            # The size stands in the header: a bomb is refused before a single pixel is unpacked.
            if image.width * image.height > MAX_PICTURE_PIXELS:
                raise _too_many_pixels()
            if getattr(image, "n_frames", 1) > 1:
                raise PictureError("animated", "the picture moves; send a screenshot of one moment")
            image.load()
            return np.asarray(_opaque(ImageOps.exif_transpose(image)), dtype=np.uint8)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError("unknown_format", "only PNG, JPEG and WebP pictures can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except Exception as error:
        # Pillow meets damaged files with errors of many types (OSError, SyntaxError, struct.error, …).
        raise PictureError("damaged", "the picture is damaged; save or photograph it again") from error


def _too_many_pixels() -> PictureError:
    limit = MAX_PICTURE_PIXELS // 1_000_000
    return PictureError("too_many_pixels", f"the picture has more than {limit} million pixels; make it smaller")


def _opaque(image: Image.Image) -> Image.Image:
    """`image` as RGB; what is transparent becomes the opposite of what is written on it."""
    from PIL import Image, ImageStat

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        brightness = ImageStat.Stat(rgba.convert("L"), alpha).mean[0] if alpha.getextrema()[1] else 0.0
        ground = (0, 0, 0, 255) if brightness > 127 else (255, 255, 255, 255)
        return Image.alpha_composite(Image.new("RGBA", rgba.size, ground), rgba).convert("RGB")
    return image.convert("RGB")


def _has_qr_code(pixels: NDArray[np.uint8]) -> bool:
    import cv2

    detector = cv2.QRCodeDetector()
    try:
        # Each of the two misses codes that the other finds, and both miss some at one size.
        for longest in (1600, 800):
            gray = cv2.cvtColor(_shrunk(pixels, longest), cv2.COLOR_RGB2GRAY)
            for detect in (detector.detect, detector.detectMulti):
                found, corners = detect(gray)
                if found and any(_is_like_qr_code(gray, quad) for quad in corners):
                    return True
    except cv2.error:
        logger.warning("the QR detector failed on a picture of %dx%d", pixels.shape[1], pixels.shape[0])
    return False


def _is_like_qr_code(gray: Any, corners: Any) -> bool:
    """Whether the part within four corners is square and about half dark; words taken for a code are not."""
    import cv2

    quad = np.asarray(corners, dtype=np.float32).reshape(4, 2)
    sides = np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1)
    if sides.min() < MIN_QR_SIDE or sides.max() > 1.5 * sides.min():
        return False
    square = np.array([[0, 0], [63, 0], [63, 63], [0, 63]], dtype=np.float32)
    flat = cv2.warpPerspective(gray, cv2.getPerspectiveTransform(quad, square), (64, 64))
    _, dark = cv2.threshold(flat, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    return 0.3 <= float(dark.mean()) <= 0.7


def _read_any_way_up(pixels: NDArray[np.uint8], deadline: float) -> list[str]:
    """The lines as read the way up in which they make most sense."""
    upright = _read(_shrunk(pixels, TILE_SIDE))
    turns = 0
    if not _is_sure(upright):
        # Letters that lie on their side or on their head are read with less confidence, if at all.
        best = _weight(upright)
        for candidate in (2, 1, 3):
            if time.monotonic() > deadline:
                break
            weight = _weight(_read(_shrunk(np.rot90(pixels, candidate), TILE_SIDE)))
            if weight > best * 1.05:
                best, turns = weight, candidate
    turned = np.ascontiguousarray(np.rot90(pixels, turns))
    lines: list[str] = []
    read_to = lowest = 0.0
    for tile in _tiles(turned):
        if time.monotonic() > deadline:
            logger.warning("a picture was read in part: over %g s", TIME_LIMIT_S)
            break
        for line in _in_reading_order([line for line in _read(tile.pixels) if tile.holds(line)]):
            # The overlap of two parts is read twice.
            if tile.top + (line.top + line.bottom) / 2 > read_to:
                lines.append(line.text)
                lowest = max(lowest, tile.top + line.bottom)
        read_to = lowest
    return lines[:MAX_LINES]


def _is_sure(lines: list[_Line]) -> bool:
    n_chars = sum(len(line.text) for line in lines)
    if not n_chars:
        return False
    confidence = sum(line.confidence * len(line.text) for line in lines) / n_chars
    n_tall = sum(len(line.text) for line in lines if line.is_tall)
    return confidence >= SURE_CONFIDENCE and n_tall * 2 < n_chars


def _weight(lines: list[_Line]) -> float:
    """How much was read, doubtful lines counting for little."""
    return sum(len(line.text) * line.confidence**4 * (0.5 if line.is_tall else 1.0) for line in lines)


def _in_reading_order(lines: list[_Line]) -> list[_Line]:
    """From top to bottom, and from left to right where lines stand beside one another."""
    rows: list[list[_Line]] = []
    for line in sorted(lines, key=lambda item: (item.top, item.left)):
        middle = (line.top + line.bottom) / 2
        if rows and rows[-1][0].top <= middle <= rows[-1][0].bottom:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda item: item.left)]


def _tiles(pixels: NDArray[np.uint8]) -> Iterator[_Tile]:
    """Parts of a long picture from top to bottom, each overlapping the one before."""
    height, width = pixels.shape[:2]
    # A picture that would need more parts than allowed is shrunk instead.
    longest = min(max(height, width), MAX_TILES * TILE_SIDE, round(max(height, width) * TILE_SIDE / width))
    pixels = _shrunk(pixels, max(longest, 1))
    height = pixels.shape[0]
    for top in range(0, height, TILE_SIDE):
        start, end = max(0, top - TILE_OVERLAP), min(height, top + TILE_SIDE)
        yield _Tile(pixels[start:end], start, cut_above=start > 0, cut_below=end < height)


def _shrunk(pixels: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    import cv2

    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    image = np.ascontiguousarray(pixels)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _read(pixels: NDArray[np.uint8]) -> list[_Line]:
    """Lines of one picture of moderate size, in no order."""
    if min(pixels.shape[:2]) < 8:
        return []
    output = _engine()(np.ascontiguousarray(pixels[:, :, ::-1]), use_cls=False)
    if output.boxes is None or output.txts is None:
        return []
    lines = []
    for box, text, confidence in zip(output.boxes, output.txts, output.scores, strict=True):
        if not text.strip() or confidence < MIN_LINE_CONFIDENCE:
            continue
        xs, ys = [point[0] for point in box], [point[1] for point in box]
        width, height = max(xs) - min(xs), max(ys) - min(ys)
        lines.append(
            _Line(
                text,
                float(confidence),
                min(ys),
                max(ys),
                min(xs),
                is_tall=bool(height > 1.5 * width and len(text) > 1),
            )
        )
    return lines[:MAX_LINES]


@lru_cache(maxsize=1)
def _engine() -> Any:
    # Imported late: onnxruntime and the models take a second, and most visitors never send a picture.
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            # It would warn of every picture without words.
            "Global.log_level": "error",
            "Global.use_cls": False,
            "Global.text_score": 0.5,
            "Global.max_side_len": TILE_SIDE + TILE_OVERLAP,
            # Two cores serve everybody; a picture must not take them all for long.
            "EngineConfig.onnxruntime.intra_op_num_threads": 2,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.max_candidates": MAX_LINES,
        }
    )
