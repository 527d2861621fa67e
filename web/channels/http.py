"""Calls to the platforms: what a failed call says about whether the message arrived."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from web.channels.base import Sent

# The adapters are imported always, httpx only where a call is made.
if TYPE_CHECKING:
    import httpx

MAX_MEDIA_BYTES = 8 * 1024 * 1024
MAX_RETRY_AFTER_S = 6 * 3600.0


async def post(
    http: httpx.AsyncClient,
    url: str,
    *,
    content: bytes | None = None,
    data: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> httpx.Response | Sent:
    """A response, or how the send ended where there is none.

    A connection that was never made has surely not delivered (`retry`); one that broke later may have
    (`unknown`).
    """
    import httpx

    try:
        return await http.post(url, content=content, data=data, headers=headers, auth=auth or httpx.USE_CLIENT_DEFAULT)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        return Sent("retry", code=type(error).__name__)
    except httpx.TransportError as error:
        return Sent("unknown", code=type(error).__name__)
    except httpx.HTTPError as error:
        return Sent("retry", code=type(error).__name__)


def retry_after_s(response: httpx.Response) -> float | None:
    """The Retry-After of a response in seconds, bounded; a date is taken as one."""
    value = response.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.replace(".", "", 1).isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        when = parsedate_to_datetime(value).timestamp()
        since = parsedate_to_datetime(response.headers["date"]).timestamp() if "date" in response.headers else None
    except ValueError:
        return None
    return None if since is None else min(max(when - since, 0.0), MAX_RETRY_AFTER_S)


def by_status(response: httpx.Response) -> Sent | None:
    """How a send ended by its HTTP status alone; None for 2xx, whose body decides."""
    status = response.status_code
    if 200 <= status < 300:
        return None
    if status == 429:
        return Sent("retry", after_s=retry_after_s(response), code="429", pause=True)
    if status in (408, 409) or status >= 500:
        return Sent("retry", after_s=retry_after_s(response), code=str(status))
    if status in (401, 403) or 300 <= status < 400:
        # Ours to mend (a secret, a permission): the operator sees the code, the answer keeps until the window
        # ends.
        return Sent("retry", after_s=60.0, code=str(status))
    return Sent("refused", code=str(status))


def body_of(response: httpx.Response) -> dict[str, object]:
    """The JSON object of a response, or an empty one."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def fetch(
    http: httpx.AsyncClient,
    url: str,
    *,
    hosts: tuple[str, ...],
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    redirect_hosts: tuple[str, ...] = (),
) -> bytes | None:
    """A file from one of the platform's hosts (or their subdomains), up to a size.

    No redirect is followed but one to `redirect_hosts`, which are not shown `headers` and `auth`.
    """
    import httpx

    try:
        target = httpx.URL(url)
        for allowed in (hosts, redirect_hosts):
            if not _is_at(target, allowed):
                return None
            async with http.stream(
                "GET", target, headers=headers, auth=auth or httpx.USE_CLIENT_DEFAULT, follow_redirects=False
            ) as response:
                if response.has_redirect_location:
                    target, headers, auth = target.join(response.headers["location"]), None, None
                    continue
                return await _read(response) if response.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    return None


def _is_at(url: httpx.URL, hosts: tuple[str, ...]) -> bool:
    is_known = any(url.host == host or url.host.endswith("." + host) for host in hosts)
    return url.scheme in ("http", "https") and is_known


async def _read(response: httpx.Response) -> bytes | None:
    """The body; None where it is too large."""
    found = bytearray()
    async for chunk in response.aiter_bytes():
        found += chunk
        if len(found) > MAX_MEDIA_BYTES:
            return None
    return bytes(found)
