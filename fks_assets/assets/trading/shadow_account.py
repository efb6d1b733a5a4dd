"""What a changed strategy would do to an account: its book with the change beside its book as it is. Nothing is stored."""

from dataclasses import asdict, dataclass
from typing import Any

from fks_assets.assets.trading.account_backtest import AccountBacktest, Change, account_backtest
from fks_assets.quant.counterfactual import TradeChange, figures_side_by_side, side_by_side, trade_changes
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import InputRef

PART_FIGURES = ("trades", "pnl", "win_rate_pct", "fees", "budget_used_pct", "budget_used_most_pct")


@dataclass(frozen=True, slots=True, eq=False)
class AccountShadow:
    """The book of an account as it is and with one strategy changed, over the same candles, and what differs."""

    production: AccountBacktest
    shadow: AccountBacktest

    @property
    def inputs(self) -> list[InputRef]:
        """All that both were made from."""
        return [*self.production.inputs, *self.shadow.inputs]

    @property
    def figures(self) -> dict[str, dict[str, float | None]]:
        """Every figure of both books, and the difference."""
        return figures_side_by_side(self.production.performance, self.shadow.performance)

    @property
    def strategies(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """What each strategy did in both books, and the difference: also the others have more or less cash by the change."""
        old, new = ({part.name: asdict(part) for part in each.strategies} for each in (self.production, self.shadow))
        missing = dict.fromkeys(PART_FIGURES)
        return {
            name: side_by_side(
                {key: old.get(name, missing)[key] for key in PART_FIGURES}, {key: new[name][key] for key in PART_FIGURES}
            )
            for name in new
        }

    @property
    def trades(self) -> list[TradeChange]:
        """The trades of the account that differ."""
        return trade_changes(self.production.result, self.shadow.result)

    def document(self) -> dict[str, Any]:
        """Return everything for a JSON document."""
        return {
            "account": self.shadow.account,
            "production": self.production.document(),
            "shadow": self.shadow.document(),
            "diff": {
                "metrics": self.figures,
                "strategies": self.strategies,
                "trades": [each.document() for each in self.trades],
            },
        }


def account_shadow(stores: Stores, account: str, change: Change, start_ms: int, end_ms: int) -> AccountShadow:
    """Return what a change of one of its strategies makes of an account, on the candles that open in [start_ms, end_ms).

    Raises as `account_backtest` does: InvalidInput also for a strategy that is not in the account.
    """
    return AccountShadow(
        account_backtest(stores, account, start_ms, end_ms), account_backtest(stores, account, start_ms, end_ms, change=change)
    )
