"""Which faults hit which request: matching, counting and seeded chance."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fks_assets.simulator.fault_rules import FaultRule


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule is matched against: a request, its market (`BTC-USDT`) and timeframe if it names them, simulated time."""

    dialect: str
    endpoint: str
    symbol: str
    timeframe: str
    client: str
    now_ms: int


@dataclass(slots=True)
class _Tally:
    matched: int = 0
    applied: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that applies to a request, with randomness of its own."""

    rule: FaultRule
    random: random.Random


class FaultPlan:
    """The rules in force. The same rules, seed and order of matching requests give the same faults."""

    def __init__(self, rules: Iterable[FaultRule] = (), seed: int = 0) -> None:
        self.rules = list(rules)
        self.seed = seed
        self._tallies = [_Tally() for _ in self.rules]

    def add(self, rules: Iterable[FaultRule]) -> None:
        """Add rules after the others."""
        for rule in rules:
            self.rules.append(rule)
            self._tallies.append(_Tally())

    def remove(self, name: str | None = None) -> int:
        """Drop the rules of a name, or all; return how many."""
        kept = [] if name is None else [index for index, rule in enumerate(self.rules) if rule.name != name]
        dropped = len(self.rules) - len(kept)
        self.rules, self._tallies = [self.rules[index] for index in kept], [self._tallies[index] for index in kept]
        return dropped

    def hits(self, asked: Asked) -> list[Hit]:
        """Return the rules that apply to a request, in their order, and count them."""
        found: list[Hit] = []
        for rule, tally in zip(self.rules, self._tallies, strict=True):
            if not _matches(rule, asked):
                continue
            tally.matched += 1
            if rule.first is not None and tally.applied >= rule.first:
                continue
            if tally.matched <= rule.skip or (tally.matched - rule.skip - 1) % rule.every:
                continue
            chance = random.Random(f"{self.seed}/{rule.name}/{tally.matched}")  # noqa: S311 (chance of faults, no secret)
            if chance.random() < rule.probability:
                tally.applied += 1
                found.append(Hit(rule, chance))
        return found

    def revisions(self, asked: Asked) -> list[FaultRule]:
        """Return the restatements of candles in force for a request, without counting."""
        return [rule for rule in self.rules if rule.action == "revise" and _matches(rule, asked)]

    def as_json(self) -> list[dict[str, Any]]:
        """Return every rule's name, action, options and counts."""
        return [
            {
                "name": rule.name,
                "action": rule.action,
                "options": dict(rule.options),
                "matched": tally.matched,
                "applied": tally.applied,
            }
            for rule, tally in zip(self.rules, self._tallies, strict=True)
        ]


def _matches(rule: FaultRule, asked: Asked) -> bool:
    return (
        (rule.dialect is None or rule.dialect == asked.dialect)
        and (not rule.endpoints or asked.endpoint in rule.endpoints)
        and (not rule.symbols or asked.symbol in rule.symbols)
        and (not rule.timeframes or asked.timeframe in rule.timeframes)
        and (not rule.clients or asked.client in rule.clients)
        and (rule.from_ms is None or asked.now_ms >= rule.from_ms)
        and (rule.until_ms is None or asked.now_ms < rule.until_ms)
    )
