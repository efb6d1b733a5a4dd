"""Send an answer over HTTP, whole or broken: late, slow, cut, swollen, reset or never."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from fks_assets.simulator.answers import Answer, binance_error, html_error
from fks_assets.simulator.faults import Hit

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
_PIECE = b" " * 65_536
_UNKNOWN = (-1000, "An unknown error occurred while processing the request.")
_STATUS_BODIES = {
    418: (-1003, "Way too much request weight used; IP banned. Please use the websocket for live updates to avoid bans."),
    429: (-1003, "Too much request weight used. Please use the websocket for live updates to avoid polling the API."),
    503: (-1008, "Server is currently overloaded with other requests. Please try again in a few minutes."),
    504: (-1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."),
}


def replaced(answer: Answer, error: Callable[[int, str], Answer], hits: list[Hit]) -> Answer:
    """Return the answer after the faults that replace it or its body: status, error, garbage, empty, an honestly cut body.

    `error` makes the dialect's error body of a code and a message.
    """
    for hit in hits:
        options = hit.rule.options
        match hit.rule.action:
            case "status":
                return _status(options)
            case "error":
                return error(options["code"], options["message"])
            case "garbage":
                text = options["body"]
                answer = replace(answer, body=hit.random.randbytes(options["bytes"]) if text is None else text.encode(), rows=0)
            case "empty":
                answer = replace(answer, body=b"", rows=0)
            case "torn" if options["honest_length"]:
                answer = replace(answer, body=answer.body[: int(len(answer.body) * options["at"])], rows=0)
    return answer


async def deliver(
    scope: Scope, receive: Receive, send: Send, answer: Answer, headers: Mapping[str, str], hits: list[Hit]
) -> None:
    """Send the answer with the faults of the wire among the hits."""
    by_action = {hit.rule.action: hit for hit in hits}
    for hit in hits:
        if hit.rule.action == "latency":
            await asyncio.sleep(hit.rule.options["seconds"] + hit.random.random() * hit.rule.options["jitter_seconds"])
    if hit := by_action.get("hang"):
        await _hang(receive, hit.rule.options["seconds"])
        await _reset(scope, receive)
        return
    reset = by_action.get("reset")
    if reset is not None and reset.rule.options["after_bytes"] == 0:
        await _reset(scope, receive)
        return

    swollen = by_action.get("oversize")
    length = None if swollen else len(answer.body)
    await send({"type": "http.response.start", "status": answer.status, "headers": _header_list(answer, headers, length)})
    if reset is not None:
        await send(_part(answer.body[: reset.rule.options["after_bytes"]]))
        await _reset(scope, receive)
        return
    torn = by_action.get("torn")
    if torn is not None and not torn.rule.options["honest_length"]:
        await send(_part(answer.body[: int(len(answer.body) * torn.rule.options["at"])]))
        _transport(scope).close()
        await _gone(receive)
        return
    if swollen is not None:
        await _swell(scope, send, swollen.rule.options["bytes"])
    if drip := by_action.get("drip"):
        await _drip(scope, send, answer.body, drip.rule.options["bytes_per_second"])
        return
    await send({"type": "http.response.body", "body": answer.body})


def _status(options: Mapping[str, Any]) -> Answer:
    status = options["status"]
    if options["html"]:
        answer = html_error(status)
    elif options["body"] is not None:
        answer = Answer(options["body"].encode(), status)
    else:
        answer = binance_error(*_STATUS_BODIES.get(status, _UNKNOWN), status=status)
    if options["retry_after"] is None:
        return answer
    return replace(answer, headers={"Retry-After": f"{options['retry_after']:g}"})


def _header_list(answer: Answer, headers: Mapping[str, str], length: int | None) -> list[tuple[bytes, bytes]]:
    merged = {"Content-Type": answer.content_type, **headers, **answer.headers}
    if length is not None:
        merged["Content-Length"] = str(length)
    return [(name.lower().encode(), value.encode()) for name, value in merged.items()]


def _part(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def _transport(scope: Scope) -> asyncio.Transport:
    return scope["state"]["transport"]


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _hang(receive: Receive, seconds: float) -> None:
    try:
        await asyncio.wait_for(_gone(receive), seconds)
    except TimeoutError:
        return


async def _reset(scope: Scope, receive: Receive) -> None:
    """Close the connection with RST instead of FIN, so that the client sees it reset."""
    transport = _transport(scope)
    raw = transport.get_extra_info("socket")
    if raw is not None and not transport.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _gone(receive)


async def _swell(scope: Scope, send: Send, size: int) -> None:
    """Send blanks, which JSON permits, before the body."""
    sent = 0
    while sent < size and not _transport(scope).is_closing():
        piece = _PIECE[: size - sent]
        await send(_part(piece))
        sent += len(piece)


async def _drip(scope: Scope, send: Send, body: bytes, bytes_per_second: float) -> None:
    step = max(1, round(bytes_per_second / 10))
    for start in range(0, len(body), step):
        await asyncio.sleep(step / bytes_per_second)
        if _transport(scope).is_closing():
            return
        await send(_part(body[start : start + step]))
    await send({"type": "http.response.body", "body": b""})
