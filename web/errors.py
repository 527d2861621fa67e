"""Everything the web package may raise, with the HTTP status it becomes.

WebError
├── SettingsError       500  a setting is unknown or wrong; the program does not start
├── SignatureError      401
├── PayloadError        400
├── PayloadTooLargeError 413
├── RateLimitedError    429  carries `retry_after_s`
└── DeliveryError            a platform did not take a message (carries `retryable`)
"""

from __future__ import annotations


class WebError(Exception):
    """Base of all errors of this package."""

    status = 500


class SettingsError(WebError):
    """A setting is unknown or wrong; the message names it and the remedy."""


class SignatureError(WebError):
    """A delivery is not signed as it should be. Says no more, to tell an attacker nothing."""

    status = 401


class PayloadError(WebError):
    """A request cannot be understood."""

    status = 400


class PayloadTooLargeError(WebError):
    """A request has more bytes than are taken."""

    status = 413


class RateLimitedError(WebError):
    """Too many requests from one place."""

    status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many requests; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class DeliveryError(WebError):
    """A platform did not take a message."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable
