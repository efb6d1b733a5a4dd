"""Show the desk's reports on this machine, read-only. Imports only what starts in a fraction of a second.

Usage: python -m fks_assets.supervisor.reports_server --port PORT --directory DIR [--badge TEXT]
"""

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fks_assets.assets.reporting.style import html_page
from fks_assets.clock import to_datetime
from fks_assets.supervisor.ports import HOST

LISTED = 500
# A report holds its own style and pictures, runs nothing, and is shown in no frame of another page.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A report on disk; `path` is relative to the reports directory."""

    path: str
    modified_ms: int
    size: int


def reports_of(directory: Path) -> list[Listed]:
    """Return the reports under a directory, newest first; hidden files and links are none."""
    found = sorted(_files(directory, ""), key=lambda report: (-report.modified_ms, report.path))
    return found[:LISTED]


def build_app(directory: Path, badge: str | None = None) -> Starlette:
    """Return the application: an index at `/`, each report at its path, nothing else, and only GET and HEAD."""

    def index(_: Request) -> HTMLResponse:
        return HTMLResponse(_index_page(reports_of(directory), badge))

    return Starlette(
        routes=[Route("/", index), Mount("/", _ReportFiles(directory=directory, check_dir=False))],
        middleware=[Middleware(_WithHeaders), Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="reports_server")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--badge")
    chosen = parser.parse_args(arguments)
    chosen.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    uvicorn.run(
        build_app(chosen.directory, chosen.badge),
        host=HOST,
        port=chosen.port,
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )


class _ReportFiles(StaticFiles):
    """Regular files below the directory; whatever is hidden, half-written ones too, is not there."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        if any(part.startswith(".") for part in Path(path).parts):
            return "", None
        return super().lookup_path(path)


class _WithHeaders:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


def _files(directory: Path, prefix: str) -> Iterator[Listed]:
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _files(directory / entry.name, f"{prefix}{entry.name}/")
            continue
        try:
            found = entry.stat()
        except FileNotFoundError:  # removed meanwhile
            continue
        if stat.S_ISREG(found.st_mode):
            yield Listed(f"{prefix}{entry.name}", found.st_mtime_ns // 1_000_000, found.st_size)


def _index_page(reports: list[Listed], badge: str | None) -> str:
    rows = "".join(
        f'<tr><td><a href="/{quote(report.path)}">{escape(report.path)}</a></td>'
        f"<td>{to_datetime(report.modified_ms):%Y-%m-%d %H:%M:%S}</td>"
        f'<td class="number">{report.size / 1024:,.0f} kB</td></tr>'
        for report in reports
    )
    table = (
        '<table><thead><tr><th scope="col">Report</th><th scope="col">Written (UTC)</th><th scope="col" class="number">Size</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )
    style = "td,th{padding:.35rem .5rem .35rem 0}tbody tr{border-top:1px solid var(--line)}"
    more = f"the newest {LISTED}" if len(reports) == LISTED else f"{len(reports)}"
    shown = table if reports else "<p>None yet: the first ones come with the daily run at 08:00 UTC.</p>"
    body = f'<section class="card">{shown}</section>'
    return html_page("Reports", body, style=style, badge=badge, subtitle=f"{more}, newest first")


if __name__ == "__main__":
    main(sys.argv[1:])
