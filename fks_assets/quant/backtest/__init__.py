"""Backtests: signals on candles, turned into trades and an equity curve by one compiled pass. The rules: docs/backtest-rules.md."""
