"""Everything the messaging platforms may raise.

ChannelError
├── SignatureError          a delivery is not proven to come from the platform; answered 401, without detail
├── PayloadError            a proven delivery cannot be read; answered 400
│   └── BodyTooLargeError     more than the body limit was sent; answered 413
├── ChannelSettingsError    the settings of the accounts cannot be used; the message names the setting, never
its value
└── StoreError              the database cannot take or give work now; answered 503, so that the platform
repeats
    └── KeyMismatchError      the database was written with another secret key
"""

from __future__ import annotations


class ChannelError(Exception):
    """Base of all errors of the messaging platforms."""


class SignatureError(ChannelError):
    """A delivery is not proven to come from the platform. Carries no detail, so that none can be shown."""


class PayloadError(ChannelError):
    """A delivery came from the platform but cannot be read."""


class BodyTooLargeError(PayloadError):
    """More was sent than a delivery may have."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class ChannelSettingsError(ChannelError):
    """The settings of the accounts cannot be used; the message names the setting and the remedy."""


class TokenError(ChannelError):
    """The platform gave no access token."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the platform gave no access token: {code}")
        self.code = code


class StoreError(ChannelError):
    """The database cannot take or give work now."""


class KeyMismatchError(StoreError):
    """The database was written with another secret key, so that its rows cannot be read."""
