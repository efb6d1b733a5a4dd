"""What is said: titles by kind, colours by severity, and text that cannot do more than be read."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from fks_assets.clock import iso
from fks_assets.ids import stable_id

TITLES = {
    "buy_signal": "🟢 BUY signal",
    "sell_signal": "🔔 SELL signal",
    "risk": "🔥 HIGH risk",
    "stop": "🛑 Stop loss",
    "guard": "🛡️ Stop guard",
    "protection": "🔒 Protection",
    "trade": "💱 Trade",
    "rebalance": "⚖️ Rebalance",
    "daily_report": "📊 Daily report",
    "weekly_report": "📈 Weekly report",
    "monthly_report": "🗓️ Monthly report",
    "report": "📄 Report",
    "strategy_disabled": "❌ Strategy failed validation",
    "strategy_not_judged": "❔ Strategy not judged",
    "strategy_verdict_lapsed": "⌛ Strategy may not trade any more",
    "strategy_fails_and_trades": "⚠️ Strategy fails and trades on a person's word",
    "unexplained_difference": "❗ Live and backtest differ",
    "run_failure": "💥 Run failed",
    "liveness": "⏰ Not ticking",
    "watchdog": "🐕 Watchdog",
    "channel_dead": "🔕 Channel dead",
    "ledger_audit": "📕 Books differ",
    "drift": "📕 Ledger and exchange differ",
    "market_check": "🚧 Market data check",
    "alert": "⚠️ Alert",
    "test": "✉️ Test",
}
COLOURS = {"INFO": 0x2ECC71, "WARN": 0xF1C40F, "HIGH": 0xE67E22, "URGENT": 0xE74C3C}
SEVERITY_ORDER = {severity: place for place, severity in enumerate(COLOURS)}
# Joins emoji; every other invisible character can reorder or hide what stands beside it.
_JOINER = "\u200d"
_KEPT = {"\n", "\t", _JOINER}


@dataclass(frozen=True, slots=True)
class Message:
    """One notification as it is said on a channel; times are UTC milliseconds. `round_number` counts its escalations.

    One that is not stored nobody can look up or acknowledge.
    """

    id: int
    kind: str
    severity: str
    text: str
    created_at: int
    round_number: int = 0
    simulated: bool = False
    is_stored: bool = True

    @property
    def event_id(self) -> str:
        """The same for every copy of this message, so that a receiver can know a second one."""
        return f"{self.id}.{self.round_number}" if self.round_number else str(self.id)

    @property
    def title(self) -> str:
        """What kind of message this is."""
        title = TITLES.get(self.kind, self.kind.replace("_", " ").capitalize())
        return f"{title} – not acknowledged ({self.round_number})" if self.round_number else title

    @property
    def footer(self) -> str:
        """Which message this is, and whether its markets are made up."""
        todo = f" · fks notifications ack {self.id}" if self.severity == "URGENT" and self.is_stored else ""
        return f"#{self.event_id} · {self.severity} · {iso(self.created_at)}{' · SIMULATED' if self.simulated else ''}{todo}"

    @property
    def line(self) -> str:
        """The message on one line, for a digest."""
        return f"#{self.event_id} {self.severity} {plain(self.text, one_line=True)}"


def digest_text(messages: list[Message], room: int) -> str:
    """Return many messages as lines within `room` UTF-16 units, the most severe first; the last line counts what has no room."""
    ordered = sorted(messages, key=lambda each: (-SEVERITY_ORDER[each.severity], each.id))
    share = max(60, room // len(ordered) - 1)
    lines: list[str] = []
    left = room - 60
    for message in ordered:
        line = shortened(message.line, share)
        length = utf16_length(line)
        if length >= left:
            lines.append(f"… and {len(ordered) - len(lines)} more: fks notifications")
            break
        lines.append(line)
        left -= length + 1
    return "\n".join(lines)


def escaped_digest(messages: list[Message], room: int, escape: Callable[[str], str]) -> str:
    """Return the lines of a digest, cut before they are escaped so that each message has one."""
    cut = room
    while utf16_length(text := escape(digest_text(messages, cut))) > room:
        cut = cut * 3 // 4
    return text


def digest_title(messages: list[Message]) -> str:
    """Return the title of a digest."""
    return f"🗞️ {len(messages)} messages"


def event_of(messages: list[Message]) -> str:
    """Return the same for every copy of what is said: of one message its own, of a digest one for just these messages."""
    first = messages[0].event_id
    return first if len(messages) == 1 else f"{first}-{stable_id(*(each.event_id for each in messages))}"


def worst(messages: list[Message]) -> str:
    """Return the highest severity of some messages."""
    return max((message.severity for message in messages), key=SEVERITY_ORDER.__getitem__)


def plain(text: str, *, one_line: bool = False) -> str:
    """Return text without characters that are not seen: control characters, and those that change the direction of reading."""
    kept = "".join(each for each in text if each in _KEPT or unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return " ".join(kept.split()) if one_line else kept.strip()


def shortened(text: str, most: int) -> str:
    """Return text of at most so many characters, counted as Discord and Telegram do (UTF-16); a cut is marked."""
    if len(text) * 2 <= most or utf16_length(text) <= most:
        return text
    room, end = most - 1, 0
    for end, each in enumerate(text):  # noqa: B007 (the place where it ends is what is asked)
        room -= 2 if ord(each) > 0xFFFF else 1
        if room < 0:
            break
    return text[:end].rstrip("\\") + "…"


def utf16_length(text: str) -> int:
    """Return the length of text in UTF-16 units."""
    return len(text) + sum(ord(each) > 0xFFFF for each in text)
