"""What people wrote is encrypted at rest, and who they are is kept as keyed hashes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from web.channels.errors import ChannelSettingsError, KeyMismatchError

KEY_FILE = "channels.key"
_MIN_SECRET_CHARS = 32


class Vault:
    """Seals bodies with AES-256-GCM and hides identifiers behind HMAC-SHA256; two keys from one secret."""

    def __init__(self, secret: bytes) -> None:
        self._box = AESGCM(_derive(secret, b"guitu bodies"))
        self._hash_key = _derive(secret, b"guitu identifiers")

    def seal(self, plain: bytes) -> bytes:
        """12 random bytes and the encrypted text. Each call gives another result."""
        nonce = os.urandom(12)
        return nonce + self._box.encrypt(nonce, plain, None)

    def open(self, sealed: bytes) -> bytes:
        """The plain text.

        Raises:
            KeyMismatchError: it was sealed with another key, or changed since.
        """
        try:
            return self._box.decrypt(sealed[:12], sealed[12:], None)
        except (InvalidTag, ValueError) as error:
            raise KeyMismatchError("a row was sealed with another key, or changed since") from error

    def hide(self, *parts: str) -> str:
        """A keyed hash: the same parts give the same 43 characters, and nobody without the key can go
        back.
        """
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        digest = hmac.new(self._hash_key, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    @property
    def key_check(self) -> str:
        """Tells whether two vaults have the same key, without telling the key."""
        return self.hide("key check")


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=purpose).derive(secret)


def open_vault(secret_key: str, data: Path) -> Vault:
    """The vault of GUITU_SECRET_KEY, or of a key file in the data folder, which is made where it is missing.

    Raises:
        ChannelSettingsError: the key is too short to be one.
    """
    if secret_key:
        if len(secret_key) < _MIN_SECRET_CHARS:
            raise ChannelSettingsError(
                f"GUITU_SECRET_KEY has fewer than {_MIN_SECRET_CHARS} characters; "
                "make one with `openssl rand -base64 48`"
            )
        return Vault(secret_key.encode())
    path = data / KEY_FILE
    data.mkdir(parents=True, exist_ok=True)
    # Written whole under another name and then linked: two processes that start together agree on one key,
    # and one that is killed half-way leaves no half key.
    if not path.exists():
        fresh = data / f"{KEY_FILE}.{secrets.token_hex(8)}"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(48)))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    found = path.read_bytes().strip()
    if len(found) < _MIN_SECRET_CHARS:
        raise ChannelSettingsError(f"the key file {path} is too short; restore it from a copy")
    return Vault(found)
