"""The ledger: accounts, deals, orders, fills, double-entry journal. All money is exact; the rules: docs/ledger.md."""
