"""`fks notify`: say something on the channels of the desk, and say what became of it."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag, number
from fks_assets.cli.ledger_arguments import open_stores
from fks_assets.clock import iso

if TYPE_CHECKING:
    from fks_assets.stores.deliveries import Delivery

DELIVERY_COLUMNS = ("channel", "state", "attempts", "delivered_at", "error", "next_attempt_at", "handed_to", "escalation")
WaitOption = Annotated[
    float,
    typer.Option("--wait", parser=number(0, 600, float), metavar="SECONDS", help="So long it is waited for what becomes of it."),
]


def register(app: typer.Typer) -> None:
    app.command()(notify)


def notify(
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="What is said.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="trade, alert or report.")] = "alert",
    urgent: Annotated[
        bool, typer.Option("--urgent", help="It goes on to the next channel until somebody acknowledges it.")
    ] = False,
    wait: WaitOption = 15.0,
    json: JsonFlag = False,
) -> None:
    """Say something on the channels of the desk and show what became of it on each; exits 1 if no channel has it."""
    from fks_assets.notify.service import deliver_one, write_message

    stores = open_stores()
    made = write_message(stores.database, message, kind, urgent=urgent)
    show_deliveries(made, deliver_one(stores.settings, stores.database, made, wait), json)


def show_deliveries(made: int, found: "list[Delivery]", json: bool) -> None:
    """Print what became of a message on each channel; exit 1 if it reached none but the log though there are others."""
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.notify.chain import ARRIVED
    from fks_assets.settings.notifications import LOG_CHANNEL

    others = [each for each in found if each.channel != LOG_CHANNEL] or found
    delivered = any(each.state in ARRIVED for each in others)
    rows = [delivery_row(each) for each in found]
    if json:
        print_json({"id": made, "delivered": delivered, "deliveries": rows})
    else:
        print_table(
            f"Message {made} (UTC)", DELIVERY_COLUMNS, ([row[key] for key in DELIVERY_COLUMNS] for row in rows), "not sent"
        )
    if not delivered:
        sys.exit(1)


def delivery_row(delivery: "Delivery") -> dict[str, Any]:
    """Return what became of a message on a channel, as it is shown."""
    waits = delivery.state in ("PENDING", "SENDING")
    return {
        "channel": delivery.channel,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "delivered_at": iso(delivery.delivered_at),
        "error": delivery.last_error,
        "next_attempt_at": iso(delivery.next_attempt_at) if waits else None,
        "handed_to": delivery.handed_to,
        "escalation": delivery.round,
    }
