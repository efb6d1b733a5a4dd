"""One POST within hard bounds: a deadline for everything, a bound for the body, redirects judged like the first address."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from fks_assets.errors import InvalidInput, TradingError
from fks_assets.notify.addresses import PublicResolver, check_url
from fks_assets.notify.outcome import Answer

DEADLINE_SECONDS = 10.0
MOST_BODY = 65_536
MOST_REDIRECTS = 3
# So long before the deadline status and headers have to do, without the rest of the body.
LAST_SECONDS = 0.5


class Unreachable(TradingError):
    """No answer came; the words have no address in them."""


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    loopback: bool = False,
    hosts: tuple[str, ...] = (),
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Answer:
    """Return the answer to a POST. At most 3 redirects that keep the method are followed, each checked as the first address was.

    The body of a success is not waited for: it was taken. Raises Unreachable when no answer comes in time, or the address may not
    be asked.
    """
    connector = aiohttp.TCPConnector(resolver=PublicResolver(loopback=loopback), use_dns_cache=False, force_close=True)
    # Packed, the body could not be read, and with it how long the server wants to be left alone.
    headers = {"User-Agent": "fks_assets", "Accept-Encoding": "identity", **headers}
    until = asyncio.get_running_loop().time() + deadline_seconds
    try:
        async with (
            asyncio.timeout_at(until),
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
            ) as session,
        ):
            for _ in range(MOST_REDIRECTS + 1):
                check_url(url, loopback=loopback, hosts=hosts)
                async with session.post(URL(url, encoded=True), data=body, headers=headers, allow_redirects=False) as response:
                    if response.status in (307, 308) and "Location" in response.headers:
                        url = urljoin(url, response.headers["Location"])
                        continue
                    return await _answer(response, until - LAST_SECONDS)
            raise Unreachable(f"led on more than {MOST_REDIRECTS} times")
    except TimeoutError:
        raise Unreachable(f"gave no answer within {deadline_seconds:.0f} s") from None
    except InvalidInput as error:
        raise Unreachable(str(error)) from None
    except aiohttp.ClientConnectorError as error:
        raise Unreachable(f"cannot be reached: {error.os_error.strerror or type(error).__name__}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(f"broke the connection: {type(error).__name__}") from None


async def _answer(response: aiohttp.ClientResponse, until: float) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    if 200 <= response.status < 300:
        return Answer(response.status, headers)
    body = b""
    # Status and headers say enough where the body breaks off or never ends.
    try:
        async with asyncio.timeout_at(until):
            while len(body) < MOST_BODY and (part := await response.content.readany()):
                body += part
    except (TimeoutError, aiohttp.ClientError):
        pass
    return Answer(response.status, headers, body[:MOST_BODY])
