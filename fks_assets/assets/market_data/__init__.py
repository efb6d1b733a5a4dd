"""Candles: assets, checks and what keeps them complete."""

CODE_VERSION = "1"
