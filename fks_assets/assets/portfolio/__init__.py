"""What accounts do and hold: deals, orders, fills, positions, balances, and the proof that the ledger is right."""
