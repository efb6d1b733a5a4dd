"""How each dialect asks for candles and the time, and how its answers become rows and ms."""

from typing import Any

from fks_assets.exchanges.answers import Answer, AnswerJudge, answer_date
from fks_assets.exchanges.dialects import Dialect
from fks_assets.exchanges.rows import MalformedRows, RawRows, binance_rows, kraken_rows, udf_rows
from fks_assets.exchanges.screening import timeframe_fault
from fks_assets.quant.timeframes import Timeframe

_UDF_DIALECTS = frozenset({"wallex", "nobitex"})


def candle_url(
    client: Any, dialect: Dialect, symbol: str, timeframe: Timeframe, start_ms: int, *, end_ms: int | None = None, rows: int
) -> str:
    """Return the URL that asks for at most `rows` candles from `start_ms` on, and before `end_ms` where the API can say so."""
    pair = dialect.pair_id(symbol)
    parameters: dict[str, Any]
    if dialect.name in _UDF_DIALECTS:
        end = start_ms + rows * timeframe.milliseconds if end_ms is None else end_ms
        resolution = client.timeframes[timeframe.name]
        parameters = {"symbol": pair, "resolution": resolution, "from": start_ms // 1000, "to": (end - 1) // 1000}
    elif dialect.name == "kraken":
        since = max(0, start_ms - timeframe.milliseconds) // 1000
        parameters = {"pair": pair, "interval": timeframe.seconds // 60, "since": since}
    else:
        parameters = {"symbol": pair, "interval": timeframe.name, "startTime": start_ms, "limit": rows}
        if end_ms is not None:
            parameters["endTime"] = end_ms - 1
    return client.sign(dialect.path(dialect.candles_endpoint), ["public"], "GET", parameters)["url"]


def read_rows(answer: Answer, judge: AnswerJudge, timeframe: Timeframe) -> RawRows:
    """Return the rows of a candle answer; raise ExchangeError when it reports one, InvalidResponse when it is not as promised."""
    endpoint = judge.dialect.candles_endpoint
    judge.check(answer, endpoint)
    try:
        if judge.dialect.name in _UDF_DIALECTS:
            rows = udf_rows(judge.decode(answer, endpoint))
        elif judge.dialect.name == "kraken":
            rows = kraken_rows(judge.decode(answer, endpoint))
        else:
            rows = binance_rows(answer.body, lambda: judge.decode(answer, endpoint))
    except MalformedRows as fault:
        raise judge.invalid(endpoint, str(fault)) from None
    fault = timeframe_fault(rows, timeframe)
    if fault is not None:
        raise judge.invalid(endpoint, fault)
    return rows


def answered_time_ms(answer: Answer, value: Any, dialect: Dialect) -> int:
    """Return the exchange's time at a clock answer, which decodes to `value`; raise ValueError, or what it stumbles over.

    A header tells the second alone: the middle of it is then at most half a second off.
    """
    if dialect.tells_time:
        return exchange_time_ms(value, dialect)
    date = answer_date(answer)
    return _believable(date if date is None else int(date.timestamp()) * 1000 + 500)


def exchange_time_ms(value: Any, dialect: Dialect) -> int:
    """Return the exchange's time in a decoded clock answer; raise KeyError, TypeError or ValueError when it is not there."""
    return _believable(value["result"]["unixtime"] * 1000 if dialect.name == "kraken" else value["serverTime"])


def _believable(told: Any) -> int:
    if type(told) is not int or not _EARLIEST_MS < told < _LATEST_MS:
        raise ValueError(f"the clock says {told!r}")
    return told


_EARLIEST_MS, _LATEST_MS = 1_230_768_000_000, 4_102_444_800_000
