"""`fks backtest` over markets that pay in several coins: one book a quote coin, shown one after another."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fks_assets.errors import InsufficientData

if TYPE_CHECKING:
    from fks_assets.assets.trading.backtest_run import Backtest
    from fks_assets.assets.trading.in_force import StrategyInForce
    from fks_assets.assets.trading.standard import QuoteBook
    from fks_assets.quant.timeframes import Timeframe
    from fks_assets.resources.stores import Stores


def run_books(
    stores: "Stores",
    subject: "StrategyInForce",
    books: "Sequence[QuoteBook]",
    timeframe: "Timeframe",
    start_ms: int,
    end_ms: int,
) -> "tuple[list[Backtest], list[str]]":
    """Return (the backtest of each book that has candles, why another one has none). Raises InsufficientData where none has."""
    from fks_assets.assets.trading.backtest_run import backtest

    tests, empty = [], []
    for book in books:
        period = book.markets, timeframe, start_ms, end_ms
        try:
            tests.append(backtest(stores, subject, *period, rules=book.rules, book=book.book, skip_missing=True))
        except InsufficientData as error:
            empty.append(f"The book in {book.quote} is left out: {error}")
    if not tests:
        raise InsufficientData("; ".join(empty))
    return tests, empty


def show_books(
    tests: "Sequence[Backtest]",
    empty: Sequence[str],
    show: "Callable[[Backtest], None]",
    evidence: Mapping[str, Any] | None,
    *,
    trades: bool,
) -> None:
    """Print the books for people by `show`, or with `evidence` as one JSON document, with every trade if wanted."""
    from fks_assets.assets.trading.backtest_tables import trade_rows
    from fks_assets.cli.output import print_json

    if evidence is None:
        for test in tests:
            show(test)
        for line in empty:
            print(line)
        return
    books = [
        {
            **test.document(),
            "simulated": test.is_simulated,
            "notes": test.notes,
            **({"trades": trade_rows(test.result)} if trades else {}),
        }
        for test in tests
    ]
    print_json({"books": books, "notes": list(empty), "evidence": dict(evidence)})
