"""Backtests: one compiled pass turns signals on candles into trades and an equity curve. The rules: docs/backtest-rules.md."""
