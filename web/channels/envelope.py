"""The envelope that WeChat, WeCom and DingTalk share: a SHA-1 over sorted texts around AES-256-CBC.

Source: developers.weixin.qq.com `doc/service/guide/dev/push/encryption`, developer.work.weixin.qq.com
`document/path/90968`; read November 2026. Tested with the vectors that both pages publish.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from web.channels.base import RawRequest
from web.channels.bodies import compact_json, read_json, read_xml, string
from web.channels.errors import PayloadError, SignatureError
from web.signatures import any_same

# The padding counts in blocks of 32 although AES has 16: with 16 a third of all messages cannot be read.
_BLOCK = 32
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def sign(*parts: str) -> str:
    """The signature over token, timestamp, nonce and, around a body, the encrypted text."""
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()


def aes_key_problem(key: str) -> str | None:
    """What is wrong with an EncodingAESKey, or None."""
    if re.fullmatch(r"[A-Za-z0-9]{43}", key):
        return None
    return "must be the 43 letters and digits of the EncodingAESKey"


def open_envelope(aes_key: str, encrypted: str, receive_id: str) -> str:
    """The message inside; call it after the signature has been checked.

    Raises:
        SignatureError: for anything that is not right, without telling what: an answer that told bad padding
        from
            a bad id would let a stranger decrypt.
    """
    try:
        key = base64.b64decode(aes_key + "=")
        sealed = base64.b64decode(encrypted, validate=True)
        if not sealed or len(sealed) % 16:
            raise ValueError
        decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
        plain = decryptor.update(sealed) + decryptor.finalize()
        n_padding = plain[-1]
        if not 1 <= n_padding <= _BLOCK or plain[-n_padding:] != bytes([n_padding]) * n_padding:
            raise ValueError
        plain = plain[:-n_padding]
        size = int.from_bytes(plain[16:20], "big")
        if len(plain) < 20 + size or not hmac.compare_digest(plain[20 + size :], receive_id.encode()):
            raise ValueError
        return plain[20 : 20 + size].decode()
    except ValueError:  # also errors of base64 and UTF-8
        raise SignatureError from None


def seal_envelope(aes_key: str, text: str, receive_id: str, *, random: bytes | None = None) -> str:
    """The encrypted form of a message. `random` is given by tests only."""
    key = base64.b64decode(aes_key + "=")
    message = text.encode()
    plain = (random or os.urandom(16)) + len(message).to_bytes(4, "big") + message + receive_id.encode()
    n_padding = _BLOCK - len(plain) % _BLOCK
    plain += bytes([n_padding]) * n_padding
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def is_json(body: bytes) -> bool:
    """Whether a body is JSON rather than XML: both are offered, and the answer has to have the same form."""
    return body.lstrip()[:1] == b"{"


def read_fields(body: bytes) -> dict[str, str]:
    """The fields of a message in XML or JSON, as text.

    Raises:
        PayloadError: it is neither.
    """
    if is_json(body):
        return {key: string(value) for key, value in read_json(body).items()}
    return read_xml(body)


def write_fields(fields: dict[str, str | int], *, as_json: bool) -> bytes:
    """A message in XML or JSON."""
    if as_json:
        return compact_json(fields)
    inner = "".join(
        f"<{name}>{value}</{name}>" if isinstance(value, int) else f"<{name}><![CDATA[{_cdata(value)}]]></{name}>"
        for name, value in fields.items()
    )
    return f"<xml>{inner}</xml>".encode()


def _cdata(text: str) -> str:
    """Text inside CDATA: what would end it is split over two, and what XML cannot hold is left out."""
    return _NOT_XML.sub("", text).replace("]]>", "]]]]><![CDATA[>")


def open_sealed(
    body: bytes, tokens: tuple[str, ...], aes_keys: tuple[str, ...], receive_id: str, req: RawRequest
) -> bytes:
    """The clear body of a sealed delivery.

    Raises:
        SignatureError: it is not proven. A body that cannot even be read is not proven either.
    """
    try:
        encrypted = read_fields(body).get("Encrypt", "")
    except PayloadError:
        raise SignatureError from None
    given, timestamp, nonce = req.param("msg_signature"), req.param("timestamp"), req.param("nonce")
    if not encrypted or not any_same(given, [sign(token, timestamp, nonce, encrypted) for token in tokens]):
        raise SignatureError
    return open_with_any(aes_keys, encrypted, receive_id).encode()


def open_with_any(aes_keys: tuple[str, ...], encrypted: str, receive_id: str) -> str:
    """The message inside, by the current key or the previous one."""
    for aes_key in aes_keys:
        try:
            return open_envelope(aes_key, encrypted, receive_id)
        except SignatureError:
            continue
    raise SignatureError


def seal_reply(message: bytes, token: str, aes_key: str, receive_id: str, req: RawRequest, *, as_json: bool) -> bytes:
    """A sealed reply.

    The random bytes come from the message itself (with a key, so that nobody can guess them): a repeated
    delivery gets the very same body, and equal random bytes never meet different messages.
    """
    timestamp, nonce = req.query.get("timestamp", ""), req.query.get("nonce", "")
    text = message.decode()
    random = hmac.new(aes_key.encode(), message, hashlib.sha256).digest()[:16]
    encrypted = seal_envelope(aes_key, text, receive_id, random=random)
    fields: dict[str, str | int] = {
        "Encrypt": encrypted,
        "MsgSignature": sign(token, timestamp, nonce, encrypted),
        "TimeStamp": int(timestamp) if timestamp.isascii() and timestamp.isdigit() else 0,
        "Nonce": nonce,
    }
    return write_fields(fields, as_json=as_json)
