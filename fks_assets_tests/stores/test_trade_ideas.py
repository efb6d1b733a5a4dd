"""Stored trade ideas: the same one once, one open idea a market, an end for each, and who ended it and why."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.idea_rules import IdeaRules
from fks_assets.quant.idea_scores import Voice
from fks_assets.quant.ideas import Idea, form_idea
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import TIMEFRAMES, month_window
from fks_assets.stores.database import Database
from fks_assets.stores.trade_ideas import IdeasSaved, IdeaStatus, StoredIdea, decide_idea, read_ideas, save_ideas
from fks_assets_tests.stores.tables import BTC, ETH

HOUR = TIMEFRAMES["1h"]
H = HOUR.milliseconds
NOON = month_window("2026-03")[0] + 12 * H
# The candle of NOON has closed at ONE, and is two timeframes old at THREE.
ONE, THREE = NOON + H, NOON + 3 * H


def idea(opened: int = NOON, confidence: float = 0.8, action: int = 1, market: Market = BTC, voices: int = 2) -> Idea:
    said = [Voice(name, action, confidence, 98.0, 104.0, "so it is") for name in "ab"[:voices]]
    return form_idea(market, HOUR, opened, 100.0, said, IdeaRules())


def save(database: Database, *ideas: Idea, at: int = ONE, without: dict[Market, str] | None = None) -> IdeasSaved:
    with database.transaction() as connection:
        return save_ideas(connection, HOUR, ideas, at, without)


def decide(
    database: Database, number: int, approve: bool = True, by: str = "Ada", reason: str = "I agree", at: int = ONE
) -> StoredIdea:
    with database.transaction() as connection:
        return decide_idea(connection, number, approve=approve, by=by, reason=reason, at_ms=at, max_positions=2)


def standing(database: Database, at: int = ONE) -> list[tuple[IdeaStatus, str | None]]:
    return [(each.status, each.decision_reason) for each in read_ideas(database, at)]


OPEN = (IdeaStatus.OPEN, None)
ANEW = (IdeaStatus.EXPIRED, "the market was judged anew")
OLD = (IdeaStatus.EXPIRED, "its candle is more than two timeframes old")


def test_the_same_idea_is_stored_once_and_read_as_it_was(database: Database) -> None:
    assert save(database, idea()) == IdeasSaved(1, 0)
    assert save(database, idea(), at=ONE + 900_000) == IdeasSaved(0, 0)
    [stored] = read_ideas(database, ONE)
    assert stored.document == idea().document()
    assert (stored.status, stored.created_at, stored.expires_at) == (IdeaStatus.OPEN, ONE, THREE)
    assert (stored.decided_at, stored.decided_by, stored.decision_reason) == (None, None, None)


def test_twenty_writers_of_the_same_ideas_store_each_once(database: Database) -> None:
    ideas = [idea(), idea(market=ETH)]

    def write(place: int) -> IdeasSaved:
        return save(database, *(ideas if place % 2 else ideas[::-1]))

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(write, range(20)))
    assert sum(each.added for each in results) == 2
    assert len(read_ideas(database, ONE)) == 2


def test_an_idea_of_another_content_for_the_same_candle_replaces_the_open_one(database: Database) -> None:
    save(database, idea())
    assert save(database, idea(confidence=0.9)) == IdeasSaved(1, 1)
    assert standing(database) == [OPEN, ANEW]
    [_, replaced] = read_ideas(database, ONE)
    assert (replaced.decided_by, replaced.decided_at) == ("the desk", ONE)


def test_an_idea_that_is_right_again_is_open_again(database: Database) -> None:
    for confidence in (0.8, 0.9, 0.8):
        save(database, idea(confidence=confidence))
    assert standing(database) == [ANEW, OPEN]


def test_an_idea_of_an_older_candle_stands_until_its_market_has_a_newer_one(database: Database) -> None:
    """A signal says something at one candle; that the next one is silent does not take it back."""
    save(database, idea(), idea(market=ETH))
    silent = idea(NOON + H, action=0)
    assert save(database, silent, at=ONE + H) == IdeasSaved(0, 0)
    assert standing(database, ONE + H) == [OPEN, OPEN]
    assert save(database, idea(NOON + H), at=ONE + H) == IdeasSaved(1, 1)
    assert {
        (each.document["market"], each.document["candle"]) for each in read_ideas(database, ONE, statuses=[IdeaStatus.OPEN])
    } == {
        (BTC.key, "2026-03-01T13:00:00Z"),
        (ETH.key, "2026-03-01T12:00:00Z"),
    }


def test_a_candle_on_which_nobody_acts_any_more_takes_its_idea_back(database: Database) -> None:
    """As when a strategy has been switched off, or the exchange has restated the candle."""
    save(database, idea())
    assert save(database, idea(action=0)) == IdeasSaved(0, 1)
    assert standing(database) == [ANEW]


def test_a_market_that_may_have_no_idea_loses_its_open_one_with_the_reason(database: Database) -> None:
    save(database, idea(), idea(market=ETH))
    assert save(database, without={ETH: "a check fails: sane: a spike"}) == IdeasSaved(0, 1)
    assert {each.document["market"]: each.decision_reason for each in read_ideas(database, ONE)} == {
        BTC.key: None,
        ETH.key: "a check fails: sane: a spike",
    }


def test_an_idea_expires_when_its_candle_is_older_than_two_timeframes_whether_noted_or_not(database: Database) -> None:
    save(database, idea())
    assert standing(database, THREE) == [OPEN]
    assert standing(database, THREE + 1) == [OLD]
    [seen] = read_ideas(database, THREE + 1)
    assert (seen.decided_by, seen.decided_at) == ("the desk", THREE)
    assert read_ideas(database, THREE + 1, statuses=[IdeaStatus.OPEN]) == []
    assert save(database, at=THREE + H) == IdeasSaved(0, 1)
    assert read_ideas(database, THREE + H) == [seen], "noting it changes nothing of what is read"
    assert save(database, idea(), at=THREE + H) == IdeasSaved(0, 0), "and it does not come back"


def test_a_person_approves_or_rejects_and_who_when_and_why_is_kept(database: Database) -> None:
    """S4.22."""
    save(database, idea(), idea(market=ETH))
    numbers = {each.document["market"]: each.id for each in read_ideas(database, ONE)}
    yes = decide(database, numbers[BTC.key], at=ONE + 5)
    no = decide(database, numbers[ETH.key], approve=False, by="Grace", reason="too early", at=ONE + 6)
    assert (yes.status, yes.decided_at, yes.decided_by, yes.decision_reason) == (IdeaStatus.APPROVED, ONE + 5, "Ada", "I agree")
    assert (no.status, no.decided_at, no.decided_by, no.decision_reason) == (IdeaStatus.REJECTED, ONE + 6, "Grace", "too early")
    save(database, idea(), idea(market=ETH, confidence=0.9), at=THREE + H)
    assert {each.status for each in read_ideas(database, THREE + H)} == {IdeaStatus.APPROVED, IdeaStatus.REJECTED}
    with pytest.raises(InvalidInput, match=r"was rejected at 2026-03-01T13:00:00Z by Grace: too early"):
        decide(database, no.id)


def test_what_cannot_be_decided_is_refused_in_one_line(database: Database) -> None:
    save(database, idea(), idea(market=ETH, voices=1))
    numbers = {each.document["market"]: each.id for each in read_ideas(database, ONE)}
    for number, changes, words in (
        (999, {}, "trade idea 999 is not known"),
        (numbers[BTC.key], {"by": " "}, "who decides must be given, was empty"),
        (numbers[BTC.key], {"reason": ""}, "the reason must be given, was empty"),
        (numbers[BTC.key], {"at": THREE + 1}, "was expired at 2026-03-01T15:00:00Z by the desk: its candle is more than two"),
        (numbers[ETH.key], {}, "is to observe, without an entry: there is nothing to approve"),
    ):
        with pytest.raises(InvalidInput, match=words) as caught:
            decide(database, number, **changes)
        assert "\n" not in str(caught.value)
    assert standing(database) == [OPEN, OPEN]
    assert decide(database, numbers[ETH.key], approve=False).status is IdeaStatus.REJECTED


def test_no_more_ideas_are_approved_than_positions_may_be_held(database: Database) -> None:
    """S4.19: at most so many positions. An expired one leaves its place; a SELL or a rejected one takes none."""
    sol, ada, dot = (Market(base, "USDT", "binance") for base in ("SOL", "ADA", "DOT"))
    save(database, idea(), idea(market=ETH), idea(market=sol), idea(market=ada, action=-1), idea(market=dot))
    numbers = {each.document["market"].split("-")[0]: each.id for each in read_ideas(database, ONE)}
    decide(database, numbers["BTC"])
    decide(database, numbers["ADA"])
    decide(database, numbers["DOT"], approve=False)
    decide(database, numbers["ETH"])
    with pytest.raises(InvalidInput, match=r"has no place: 2 approved ones still stand, at most 2 may \(ideas.max_positions\)"):
        decide(database, numbers["SOL"])
    save(database, idea(NOON + 3 * H, market=sol), at=THREE + H)
    newest = max(each.id for each in read_ideas(database, THREE + H))
    assert decide(database, newest, at=THREE + H).status is IdeaStatus.APPROVED


def test_ideas_are_read_newest_first_and_the_best_of_one_moment_first(database: Database) -> None:
    save(database, idea(confidence=0.6), idea(market=ETH))
    save(database, idea(NOON + H, confidence=0.6), at=ONE + H)
    found = read_ideas(database, ONE + H)
    assert [(each.document["market"], each.document["score"]) for each in found] == [(BTC.key, 60), (ETH.key, 100), (BTC.key, 60)]
    assert [each.id for each in read_ideas(database, ONE + H, limit=1)] == [found[0].id]
    assert [each.id for each in read_ideas(database, ONE + H, markets=[ETH])] == [found[1].id]
