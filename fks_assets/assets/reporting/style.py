"""The common look of report pages: one HTML file each, without scripts and without anything loaded from elsewhere."""

from html import escape

STYLE = """
:root{color-scheme:light dark;--ground:#fbfcfd;--card:#fff;--ink:#1e293b;--pale:#5b6b80;--line:#e2e8f0;--link:#1d4ed8;
--alarm:#b45309;--alarm-ground:#fff4e5}
@media(prefers-color-scheme:dark){:root{--ground:#0f151d;--card:#161e29;--ink:#e5eaf1;--pale:#9aa8ba;--line:#2a3544;--link:#8ab4ff;
--alarm:#ffb454;--alarm-ground:#33240f}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:96rem;margin:0 auto;padding:1.5rem 1.5rem 4rem}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.25rem 1rem;margin-bottom:1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:0}
a{color:var(--link)}
p,.note{color:var(--pale);margin:.25rem 0}
.badge{background:var(--alarm-ground);color:var(--alarm);border:1px solid;border-radius:.3rem;
padding:.05rem .5rem;font-weight:700}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.9rem 1.1rem;margin:0 0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600}thead th{color:var(--pale);font-weight:500}
.number{text-align:right}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:2px}
"""


def html_page(title: str, body: str, *, style: str = "", badge: str | None = None, subtitle: str = "") -> str:
    """Return a page; `title`, `badge` and `subtitle` are plain text, `body` and `style` are taken as they are."""
    shown = "" if badge is None else f'<span class="badge">{escape(badge)}</span>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{STYLE}{style}</style></head><body><main>'
        f'<header><h1>{escape(title)}</h1>{shown}<span class="note">{escape(subtitle)}</span></header>'
        f"{body}</main></body></html>\n"
    )
