"""What the web UI shows of accounts: small tables, and the equity curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from fks_assets.stores.ledger.balances import Balance

ROWS_SHOWN = 25


def table(name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    """Return metadata with the newest rows, the last ones given, as a table under a name; nothing for no rows."""
    shown = [{column: "–" if row[column] is None else row[column] for column in columns} for row in rows[-ROWS_SHOWN:]]
    return {name: dg.MetadataValue.table([dg.TableRecord(row) for row in reversed(shown)])} if shown else {}


def equity_metadata(balances: Sequence[Balance], account: str, *, simulated: bool) -> dict[str, Any]:
    """Return a picture of an account's equity over time with its drawdown, nothing before there are two balances above 0."""
    import numpy as np

    from fks_assets.quant.charts import markdown_image
    from fks_assets.quant.performance_charts import Curve, equity_picture

    times = np.array([balance.at for balance in balances], np.int64)
    equity = np.array([float(balance.equity) for balance in balances])
    if len(times) < 2 or not (equity > 0).all():
        return {}
    title = f"Equity of account {account}"
    picture = equity_picture(Curve("Equity", times, equity), title=title, badge="SIMULATED" if simulated else None)
    return {"equity": dg.MetadataValue.md(markdown_image(picture, title))}
