"""Strategies at the desk: backtests, validation, certificates, and who may trade."""
