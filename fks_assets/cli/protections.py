"""`fks protections`: the rules that lock accounts, strategies and markets, and what is locked now."""

from typing import Any

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.cli.ledger_arguments import open_stores
from fks_assets.clock import iso, now_ms


def register(app: typer.Typer) -> None:
    app.command()(protections)


def protections(json: JsonFlag = False) -> None:
    """List the protections of the settings and what they lock now. `fks resume SCOPE NAME [--account ACCOUNT]` lifts a lock."""
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.desk.protections import BY, protection_locks
    from fks_assets.stores.ledger.halts import HaltScope

    stores = open_stores()
    locks: list[dict[str, Any]] = [
        {
            "protection": halt.changed_by.removeprefix(BY),
            "scope": halt.scope.value,
            "name": halt.name,
            "account": halt.name if halt.scope is HaltScope.ACCOUNT else halt.account,
            "since": iso(halt.changed_at),
            "until": iso(halt.until),
            "reason": halt.reason,
        }
        for halt in protection_locks(stores.database, at_ms=now_ms())
    ]
    rules: list[dict[str, Any]] = [
        {"name": name, "rule": rule.rule, "scope": rule.scope, "settings": rule.described()}
        for name, rule in stores.settings.protections.items()
    ]
    if json:
        print_json({"protections": rules, "locks": locks})
        return
    written = [(row["name"], row["rule"], row["scope"], _settings(row["settings"])) for row in rules]
    print_table("Protections", ("name", "rule", "scope", "settings"), written, "none in the settings")
    columns = ("protection", "account", "scope", "name", "since", "until", "reason")
    print_table("Locked (UTC)", columns, ([row[column] for column in columns] for row in locks), "nothing")


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
