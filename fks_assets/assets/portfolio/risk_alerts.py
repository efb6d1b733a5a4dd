"""A look at the risk is stored together with what people are told of it: once for each change, never twice (C11)."""

from typing import TYPE_CHECKING

from fks_assets.clock import iso
from fks_assets.quant.risk import RiskLevel
from fks_assets.quant.risk_alarm import Alarm, AlarmNews, next_alarm
from fks_assets.quant.risk_rules import RiskRules
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import locked_accounts
from fks_assets.stores.notifications import notify
from fks_assets.stores.risk import RiskRow, newest_risk, record_risk

if TYPE_CHECKING:
    from fks_assets.assets.portfolio.risk_figures import AccountRisk

KIND = "risk"
# No look lasts so long. A row that is further ahead is none of a look beside this one: the clock has gone back.
LONGEST_LOOK_MS = 300_000
HIGH_WORDS = "⚠️ HIGH RISK ALERT!"
_BEGINNINGS = {
    AlarmNews.BEGUN: "",
    AlarmNews.CHANGED: "The reasons have changed: ",
    AlarmNews.REMINDED: "Still so, since {since}: ",
}


def store_risk(database: Database, risk: "AccountRisk", rules: RiskRules) -> RiskRow:
    """Store the risk of an account, with the message to people if there is one; return the row, or a newer one that is there."""
    name = risk.account.name
    with database.transaction() as connection:
        locked_accounts(connection, [name])
        before = newest_risk(connection, name)
        if before is not None and 0 <= before.at - risk.at <= LONGEST_LOOK_MS:
            return before
        standing = None if before is None else before.alarm
        reminder_ms = rules.reminder_hours * 3_600_000
        alarm, news = next_alarm(standing, risk.assessment.level, risk.high_codes, at_ms=risk.at, reminder_ms=reminder_ms)
        row = RiskRow(name, risk.at, risk.assessment.level, risk.document, alarm)
        record_risk(connection, row)
        if news is not None:
            severity = "INFO" if news is AlarmNews.ENDED else "HIGH"
            notify(connection, KIND, severity, _message(risk, news, alarm or standing), f"{KIND}:{name}:{risk.at}")
    return row


def _message(risk: "AccountRisk", news: AlarmNews, alarm: Alarm | None) -> str:
    since = None if alarm is None else iso(alarm.since)
    name, level = risk.account.name, risk.assessment.level
    if news is AlarmNews.ENDED:
        rest = "; ".join(reason.text for reason in risk.assessment.reasons)
        return f"Account {name}: the risk is {level} now, it was HIGH since {since}{f'; {rest}' if rest else ''}."
    reasons = "; ".join(reason.text for reason in risk.assessment.reasons if reason.level is RiskLevel.HIGH)
    return f"{HIGH_WORDS} Account {name}: {_BEGINNINGS[news].format(since=since)}{reasons}. Consider a rebalance."
