"""Trade ideas (S4.19): what the strategies say of one closed candle as a score with its reasons, a band, prices and a size."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fks_assets.clock import iso
from fks_assets.ids import document_hash
from fks_assets.quant.idea_rules import IdeaRules
from fks_assets.quant.idea_scores import HIGHEST, Band, NewsPenalty, Points, Trend, Voice, band_of, score_points
from fks_assets.quant.idea_sizes import Entry, Size, entry_of, paying_price, pays_enough, size_position
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import BUY, HOLD, SELL
from fks_assets.quant.timeframes import Timeframe

VALID_TIMEFRAMES = 2
NO_NEWS = "none stored"
ACTIONS = {BUY: "BUY", HOLD: "HOLD", SELL: "SELL"}


@dataclass(frozen=True, slots=True)
class Idea:
    """An idea about one market at one closed candle.

    `points` add up to `score`. `confidence` is 0..1, the mean of those who say `action`. Prices, the reward to risk of the close
    and sizes (`full` risk, and `half`: that of a pending order) are None where nobody says BUY. `unheard` are strategies that
    have not judged the candle yet; `better` lists what would improve the idea.
    """

    market: Market
    timeframe: Timeframe
    open_time: int
    close: float
    action: int
    score: int
    band: Band
    points: tuple[Points, ...]
    confidence: float
    voices: tuple[Voice, ...]
    stop: float | None
    target: float | None
    reward_risk: float | None
    entry: Entry | None
    full: Size | None
    half: Size | None
    news: str
    unheard: tuple[str, ...]
    better: tuple[str, ...]

    @property
    def close_time(self) -> int:
        return self.open_time + self.timeframe.milliseconds

    @property
    def expires_at(self) -> int:
        """The moment at which the candle is two timeframes old, UTC ms; later the idea is worth nothing."""
        return expiry_of(self.open_time, self.timeframe)

    @property
    def size(self) -> Size | None:
        """The size that the band allows."""
        return self.half if self.band is Band.PENDING_ONLY else self.full

    @property
    def agree(self) -> tuple[str, ...]:
        """The strategies that say what the idea says."""
        return tuple(voice.name for voice in self.voices if voice.action == self.action != HOLD)

    @property
    def content_hash(self) -> str:
        """The SHA-256, in hexadecimal, of everything that the idea says."""
        return document_hash(self.document())

    def document(self) -> dict[str, Any]:
        """Return the idea for a JSON document; times in ISO form."""
        return {
            "market": self.market.key,
            "timeframe": self.timeframe.name,
            "candle": iso(self.open_time),
            "candle_closed_at": iso(self.close_time),
            "expires_at": iso(self.expires_at),
            "action": ACTIONS[self.action],
            "score": self.score,
            "band": self.band.value,
            "points": [asdict(each) for each in self.points],
            "confidence": self.confidence,
            "agree": list(self.agree),
            "strategies": [
                {"name": each.name, "action": ACTIONS[each.action], "confidence": each.confidence, "reason": each.reason}
                for each in self.voices
            ],
            "close": self.close,
            "entry": None if self.entry is None else asdict(self.entry),
            "stop": self.stop,
            "target": self.target,
            "reward_risk": self.reward_risk,
            "size": None if self.size is None else asdict(self.size),
            "full_size": None if self.full is None else asdict(self.full),
            "half_size": None if self.half is None else asdict(self.half),
            "news": self.news,
            "unheard": list(self.unheard),
            "better": list(self.better),
            "simulated": self.market.exchange == "simulated",
        }


def expiry_of(open_time: int, timeframe: Timeframe) -> int:
    """Return the moment (UTC ms) at which a candle is two timeframes old, counted from its close."""
    return open_time + (1 + VALID_TIMEFRAMES) * timeframe.milliseconds


def form_idea(
    market: Market,
    timeframe: Timeframe,
    open_time: int,
    close: float,
    voices: Sequence[Voice],
    rules: IdeaRules,
    *,
    trend: Trend | None = None,
    news: NewsPenalty | None = None,
    trading_rules: MarketRules | None = None,
    unheard: Sequence[str] = (),
) -> Idea:
    """Return the idea of the candle that opens at `open_time`.

    Stop and target are those of the most confident strategy that says BUY, the first of equals. `trend` is None where no longer
    timeframe is known, `news` where nothing is stored, `trading_rules` where the market's are not: then nothing is rounded.
    `unheard` names strategies that have not judged this candle.
    Raises InvalidInput for a penalty outside the bounds of the rules.
    """
    points = score_points(voices, rules, trend, news)
    score = sum(each.points for each in points)
    buyers = [voice for voice in voices if voice.action == BUY]
    sellers = [voice for voice in voices if voice.action == SELL]
    said = buyers or sellers
    stop = target = reward_risk = entry = full = half = None
    band = Band.OBSERVE
    if buyers:
        leader = max(buyers, key=lambda voice: voice.confidence)
        stop, target = leader.stop, leader.target
        reward_risk = (target - close) / (close - stop)
        enough = pays_enough(close, stop, target, rules.reward_risk)
        band = band_of(score, enough, rules)
        entry = entry_of(band, close, stop, target, enough, rules, trading_rules)
        if entry is not None:
            full = size_position(entry.price, stop, 1.0, rules, trading_rules)
            half = size_position(entry.price, stop, rules.pending_share, rules, trading_rules)
    return Idea(
        market=market,
        timeframe=timeframe,
        open_time=open_time,
        close=close,
        action=BUY if buyers else SELL if sellers else HOLD,
        score=score,
        band=band,
        points=points,
        confidence=sum(voice.confidence for voice in said) / len(said) if said else 0.0,
        voices=tuple(voices),
        stop=stop,
        target=target,
        reward_risk=reward_risk,
        entry=entry,
        full=full,
        half=half,
        news=NO_NEWS if news is None else f"{news.points} points: {news.reason}",
        unheard=tuple(unheard),
        better=_improvements(score, band, close, stop, target, voices, rules, trend, news),
    )


def places_of(ideas: Iterable[Idea], rules: IdeaRules) -> dict[Market, int]:
    """Return the place of each idea that may become a position, 1 for the best; ideas beyond the most positions have none."""
    wanted = [idea for idea in ideas if idea.band in (Band.PENDING_ONLY, Band.OPEN_OR_SCALE)]
    wanted.sort(key=lambda idea: (-idea.score, -idea.confidence, idea.market.key))
    return {idea.market: place for place, idea in enumerate(wanted[: rules.max_positions], start=1)}


def _improvements(
    score: int,
    band: Band,
    close: float,
    stop: float | None,
    target: float | None,
    voices: Iterable[Voice],
    rules: IdeaRules,
    trend: Trend | None,
    news: NewsPenalty | None,
) -> tuple[str, ...]:
    if band is Band.OPEN_OR_SCALE:
        return ()
    found: list[Points] = []
    for voice in voices:
        if voice.action == SELL:
            found.append(Points(-rules.exit, f"{voice.name} no longer says SELL"))
        elif voice.action == HOLD:
            found.append(Points(rules.entry, f"{voice.name} says BUY"))
        elif voice.confidence < rules.strong_confidence:
            gain = rules.strong - (rules.weak if voice.confidence <= rules.weak_confidence else 0)
            found.append(Points(gain, f"{voice.name} is as confident as {rules.strong_confidence:g}"))
    if stop is not None and trend is not None and trend.direction != BUY:
        found.append(Points(rules.align, f"{trend.timeframe} points up"))
    if news is not None:
        found.append(Points(-news.points, "the news is over"))
    found.sort(key=lambda each: -each.points)
    words = [f"{each.reason}: +{each.points}" for each in found if each.points > 0] if score < HIGHEST else []
    if stop is not None and target is not None and not pays_enough(close, stop, target, rules.reward_risk):
        price = paying_price(stop, target, rules.reward_risk)
        words.insert(0, f"a price of {price:.8g} or less: reward to risk {rules.reward_risk:g}")
    return tuple(words)
