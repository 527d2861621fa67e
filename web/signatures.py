"""Checks of signatures: each gives a bool for any input, in constant time, with a clock that is passed in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def same(given: str, expected: str) -> bool:
    """Whether two texts are equal. Compared as bytes: `compare_digest` refuses text outside ASCII."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def any_same(given: str, expected: Iterable[str]) -> bool:
    """Whether a text equals one of several; all are compared, so that the time tells nothing."""
    return bool(sum([same(given, one) for one in expected]))


def is_recent(timestamp: str, now: float, window_s: float) -> bool:
    """Whether a Unix time in seconds is within a window of now, before or after."""
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        return False
    return abs(now - int(timestamp)) <= window_s


def hmac_sha256_hex(secret: str, message: bytes) -> str:
    """HMAC-SHA256 in hexadecimal, as Meta writes it."""
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def hmac_sha256_base64(secret: bytes, message: bytes) -> str:
    """HMAC-SHA256 in base64, as LINE and Standard Webhooks write it."""
    return base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode()


def hmac_sha1_base64(secret: str, message: bytes) -> str:
    """HMAC-SHA1 in base64, as Twilio writes it."""
    return base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha1).digest()).decode()


def is_ed25519(public_key: bytes, signature: str, message: bytes) -> bool:
    """Whether a base64 signature is that of a public key of 32 bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True
