"""`fks notifications`: what was said, what became of it, who has seen it, and the channels."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag, number
from fks_assets.cli.ledger_arguments import ByOption, open_stores, who
from fks_assets.cli.notify import WaitOption, delivery_row, show_deliveries
from fks_assets.cli.portfolio import show as show_rows
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.stores.notifications import Notification

COLUMNS = ("id", "created_at", "kind", "severity", "message", "deliveries", "acknowledged_by")
CHANNEL_COLUMNS = (
    "channel",
    "type",
    "target",
    "state",
    "since",
    "reason",
    "failures",
    "waiting",
    "oldest",
    "not_before",
    "delivered_at",
    "backup",
)
WIDEST = 120
IdArgument = Annotated[int, typer.Argument(metavar="ID", help="Of the message, as it stands in its footer.")]
LimitOption = Annotated[int, typer.Option("--limit", parser=number(1, 100_000), metavar="N", help="The newest to show.")]

commands = typer.Typer(help="Show and acknowledge messages, show and test channels.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="notifications")


@commands.callback(invoke_without_command=True)
def notifications(context: typer.Context, json: JsonFlag = False) -> None:
    """Show and acknowledge messages, show and test channels; without a command: list the newest messages."""
    if context.invoked_subcommand is None:
        _list(20, False, json)


@commands.command("list")
def listed(
    limit: LimitOption = 20,
    unacknowledged: Annotated[bool, typer.Option("--unacknowledged", help="Urgent ones that nobody has acknowledged.")] = False,
    json: JsonFlag = False,
) -> None:
    """List the newest messages, with what became of each on every channel."""
    _list(limit, unacknowledged, json)


@commands.command()
def show(message_id: IdArgument, json: JsonFlag = False) -> None:
    """Show one message in full, with every attempt to say it."""
    from fks_assets.cli.output import print_json
    from fks_assets.redaction import redacted
    from fks_assets.stores.deliveries import read_deliveries
    from fks_assets.stores.notifications import read_notification

    stores = open_stores()
    found = read_notification(stores.database, message_id)
    rows = [delivery_row(each) for each in read_deliveries(stores.database, [message_id])]
    if json:
        print_json({**_row(found), "deliveries": rows})
        return
    seen = f", acknowledged by {found.acknowledged_by} at {iso(found.acknowledged_at)}" if found.acknowledged_by else ""
    print(f"{found.severity} {found.kind}, {iso(found.created_at)}{seen}\n{redacted(found.message)}\n")
    show_rows("deliveries", "Deliveries (UTC)", rows, tuple(rows[0]) if rows else (), json)


@commands.command()
def ack(
    message_ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]…", help="Of the messages.")] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="Every urgent message that nobody has acknowledged.")] = False,
    by: ByOption = None,
    json: JsonFlag = False,
) -> None:
    """Say that messages were seen: they are not escalated any further."""
    from fks_assets.cli.output import print_json
    from fks_assets.stores.notifications import acknowledge, newest_notifications

    if bool(message_ids) == all_of_them:
        raise InvalidInput("give the ID of a message, or --all")
    with open_stores().database.transaction() as connection:
        ids = message_ids or [each.id for each in newest_notifications(connection, 100_000, unacknowledged=True)]
        done = [acknowledge(connection, each, by=who(by), at_ms=now_ms()) for each in ids]
    if json:
        print_json({"acknowledged": [_row(each) for each in done]})
    for each in done if not json else ():
        print(f"message {each.id} was acknowledged by {each.acknowledged_by}")


@commands.command()
def channels(json: JsonFlag = False) -> None:
    """Show the channels in the order in which messages go on: where they lead, whether they live, what waits there."""
    from fks_assets.settings.notifications import LOG_CHANNEL
    from fks_assets.stores.deliveries import waiting
    from fks_assets.stores.notification_targets import read_targets

    stores = open_stores()
    targets, waits = read_targets(stores.database), waiting(stores.database)
    rows = []
    for name, rules in {LOG_CHANNEL: None, **stores.settings.notifications.channels}.items():
        target, left = targets.get(name), waits.get(name, {})
        rows.append(
            {
                "channel": name,
                "type": LOG_CHANNEL if rules is None else rules.type,
                "target": None if target is None else target.shown,
                "state": "NEW" if target is None else target.state,
                "since": None if target is None else iso(target.changed_at),
                "reason": None if target is None else target.reason,
                "failures": 0 if target is None else target.failures,
                "waiting": left.get("count", 0),
                "oldest": iso(left.get("since")),
                "not_before": None if target is None else iso(target.not_before),
                "delivered_at": None if target is None else iso(target.delivered_at),
                "backup": rules is not None and rules.backup,
            }
        )
    show_rows("channels", "Channels (UTC)", rows, CHANNEL_COLUMNS, json)
    if any(row["state"] == "DEAD" for row in rows):
        raise typer.Exit(1)


@commands.command()
def test(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="See `fks notifications channels`.")],
    wait: WaitOption = 15.0,
    json: JsonFlag = False,
) -> None:
    """Say something on one channel alone, also one that is dead; it lives again if that arrives."""
    from fks_assets.notify.service import deliver_one, write_test

    stores = open_stores()
    made = write_test(stores.settings, stores.database, channel)
    show_deliveries(made, deliver_one(stores.settings, stores.database, made, wait), json)


@commands.command()
def serve() -> None:
    """Deliver messages until Ctrl-C; `fks up` runs this as its part `notify`."""
    import logging

    from fks_assets.notify.service import run_sender

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    stores = open_stores()
    run_sender(stores.settings, stores.database)


def _list(limit: int, unacknowledged: bool, json: bool) -> None:
    from fks_assets.stores.deliveries import read_deliveries
    from fks_assets.stores.notifications import newest_notifications

    database = open_stores().database
    found = newest_notifications(database, limit, unacknowledged=unacknowledged)
    states: dict[int, list[str]] = {}
    for each in read_deliveries(database, [each.id for each in found]):
        states.setdefault(each.notification_id, []).append(f"{each.channel} {each.state}")
    rows = [{**_row(each), "deliveries": ", ".join(states.get(each.id, []))} for each in found]
    if not json:
        rows = [{**row, "message": _short(row["message"])} for row in rows]
    show_rows("notifications", "Messages (UTC)", rows, COLUMNS, json)


def _row(found: "Notification") -> dict[str, Any]:
    from fks_assets.redaction import redacted

    return {
        "id": found.id,
        "created_at": iso(found.created_at),
        "kind": found.kind,
        "severity": found.severity,
        "message": redacted(found.message),
        "acknowledged_at": iso(found.acknowledged_at),
        "acknowledged_by": found.acknowledged_by,
        "escalate_at": iso(found.escalate_at),
        "escalations": found.escalations,
    }


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"
