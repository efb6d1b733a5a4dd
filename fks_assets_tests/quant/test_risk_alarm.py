"""When people are told of a HIGH risk: once for each change, now and then while it lasts, and when it is over (C11)."""

from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.risk import RiskLevel
from fks_assets.quant.risk_alarm import Alarm, AlarmNews, next_alarm

HOUR = 3_600_000
DAY = 24 * HOUR
EXPOSURE, LOSS = ("exposure",), ("loss",)
NONE, LOW, MEDIUM, HIGH, UNKNOWN = RiskLevel
BEGUN, CHANGED, REMINDED, ENDED = AlarmNews


def told(*looks: tuple[RiskLevel, tuple[str, ...]], every: int = HOUR // 2) -> list[AlarmNews | None]:
    """Return what is told at looks half an hour apart, with a reminder each day."""
    alarm: Alarm | None = None
    news = []
    for place, (level, codes) in enumerate(looks):
        alarm, said = next_alarm(alarm, level, codes, at_ms=place * every, reminder_ms=DAY)
        news.append(said)
    return news


def test_a_risk_that_stays_high_is_told_once_and_its_end_once() -> None:
    """C11 (freqtrade#11788): a hundred looks at the same risk are one message, and one when it is over."""
    looks = [(HIGH, EXPOSURE)] * 40 + [(MEDIUM, ())] * 40
    assert told(*looks) == [BEGUN, *[None] * 39, ENDED, *[None] * 39]


def test_another_reason_is_told_and_the_same_ones_in_another_order_are_not() -> None:
    looks = [(HIGH, EXPOSURE), (HIGH, ("loss", "exposure")), (HIGH, ("exposure", "loss")), (HIGH, LOSS), (HIGH, LOSS)]
    assert told(*looks) == [BEGUN, CHANGED, None, CHANGED, None]


def test_what_lasts_is_told_again_each_day() -> None:
    news = told(*[(HIGH, EXPOSURE)] * 97)
    assert [place for place, said in enumerate(news) if said is REMINDED] == [48, 96]


def test_a_change_puts_the_reminder_off() -> None:
    looks = [(HIGH, EXPOSURE)] * 40 + [(HIGH, LOSS)] * 60
    news = told(*looks)
    assert [(place, said) for place, said in enumerate(news) if said] == [(0, BEGUN), (40, CHANGED), (88, REMINDED)]


def test_an_unknown_risk_neither_begins_nor_ends_an_alarm() -> None:
    """A feed that is away says nothing: the alarm stands until the risk is known to be over."""
    assert told((UNKNOWN, ()), (HIGH, EXPOSURE), (UNKNOWN, ()), (HIGH, EXPOSURE), (UNKNOWN, ()), (LOW, ())) == [
        None,
        BEGUN,
        None,
        None,
        None,
        ENDED,
    ]


def test_each_level_but_high_ends_it() -> None:
    for level in (NONE, LOW, MEDIUM):
        assert told((HIGH, LOSS), (level, ())) == [BEGUN, ENDED]


levels = st.sampled_from(list(RiskLevel))
codes = st.sets(st.sampled_from(["exposure", "loss", "concentration p"]), min_size=1).map(tuple)


@given(st.lists(st.tuples(levels, codes), max_size=60))
def test_whatever_happens_beginnings_and_ends_alternate(looks: list[tuple[RiskLevel, tuple[str, ...]]]) -> None:
    """Every message of a change is between a beginning and its end, and no state is told twice in a row."""
    is_high = False
    last: tuple[str, ...] = ()
    for (level, named), said in zip(looks, told(*looks), strict=True):
        if said is BEGUN:
            assert not is_high and level is HIGH
            is_high, last = True, tuple(sorted(named))
        elif said is ENDED:
            assert is_high and level not in (HIGH, UNKNOWN)
            is_high = False
        elif said is CHANGED:
            assert is_high and tuple(sorted(named)) != last
            last = tuple(sorted(named))
        elif level is HIGH:
            assert is_high and tuple(sorted(named)) == last
