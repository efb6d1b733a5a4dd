"""`fks orders`: list them, record what a person has executed, cancel."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, number, time_of
from fks_assets.cli.ledger_arguments import AccountFilter, AllOption, amount_of, open_floor, open_stores, who
from fks_assets.cli.portfolio import LimitOption, show
from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.desk.floor import Floor
    from fks_assets.stores.ledger.orders import Order

COLUMNS = (
    "id",
    "deal",
    "account",
    "market",
    "leg",
    "side",
    "type",
    "quantity",
    "executed_quantity",
    "price",
    "stop_price",
    "status",
    "updated_at",
)
commands = typer.Typer(help="Show orders, record what a person executed, cancel.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="orders")


@commands.callback(invoke_without_command=True)
def orders(context: typer.Context, json: JsonFlag = False) -> None:
    """Show orders, record what a person executed, cancel; without a command: list the open ones."""
    if context.invoked_subcommand is None:
        _list(None, False, 50, json)


@commands.command("list")
def listed(account: AccountFilter = None, every: AllOption = False, limit: LimitOption = 50, json: JsonFlag = False) -> None:
    """List the open orders; --all: those that are over too."""
    _list(account, every, limit, json)


@commands.command()
def record(
    deal: Annotated[
        int, typer.Argument(parser=number(1, 2**63 - 1), metavar="DEAL", help="Of an alert account, see `fks deals`.")
    ],
    price: Annotated[str, typer.Option("--price", metavar="AMOUNT", help="What one coin cost, in the quote coin.")],
    quantity: Annotated[str, typer.Option("--quantity", metavar="AMOUNT", help="How many coins; a part may be recorded.")],
    fee: Annotated[str, typer.Option("--fee", metavar="AMOUNT", help="What the exchange kept.")] = "0",
    fee_currency: Annotated[
        str | None, typer.Option("--fee-currency", metavar="COIN", help="The quote coin if not given.")
    ] = None,
    leg: Annotated[str, typer.Option("--leg", metavar="LEG", help="entry, exit, stop or target.")] = "entry",
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="When it was executed; now if not given.")] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="ID", help="The exchange's id of the trade: it is booked once.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Record what a person executed for a deal of an alert account; its position, stop and balance follow from it."""
    from fks_assets.assets.portfolio.documents import fill_document, order_document, position_document
    from fks_assets.cli.output import print_json
    from fks_assets.desk.protections import apply_protections
    from fks_assets.desk.recording import Execution, record_execution
    from fks_assets.quant.orders import Leg
    from fks_assets.stores.ledger.accounts import read_account
    from fks_assets.stores.ledger.deals import read_deal

    legs = [each.value for each in Leg if each is not Leg.EXTERNAL]
    if leg not in legs:
        raise InvalidInput(f"--leg {leg!r} is unknown; known: {', '.join(legs)}")
    stores = open_stores()
    now = now_ms()
    traded_at = time_of(at, "--at") or now
    if traded_at > now:
        raise InvalidInput(f"--at {at!r} has not come yet")
    with stores.database.transaction() as connection:
        market = read_deal(connection, deal).market
        execution = Execution(
            leg=Leg(leg),
            price=amount_of(price, "--price"),
            quantity=amount_of(quantity, "--quantity"),
            fee=amount_of(fee, "--fee"),
            fee_currency=fee_currency or market.quote,
            traded_at=traded_at,
            reference=reference,
        )
        made = record_execution(connection, deal, execution, at_ms=now)
        if not made.position.is_open:
            account = read_account(connection, made.position.account)
            apply_protections(connection, stores.settings.protections, account, at_ms=now)
    position = position_document(made.position)
    if json:
        document = {"new": made.is_new, "order": order_document(made.order), "fill": fill_document(made.fill)}
        print_json({**document, "position": position})
        return
    done = "recorded" if made.is_new else "was recorded before"
    print(f"{leg} of {quantity} {market.base} at {price} {done}: the position of deal {deal} holds {position['quantity']}")


@commands.command()
def cancel(
    order: Annotated[
        int, typer.Argument(parser=number(1, 2**63 - 1), metavar="ORDER", help="Of an open order, see `fks orders`.")
    ],
    by: Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who does it; it is kept.")] = None,
    json: JsonFlag = False,
) -> None:
    """Cancel an order at its venue. The guard replaces the stop of a position that is still held. Exit 1 if it is still open."""
    from fks_assets.assets.portfolio.documents import order_document
    from fks_assets.cli.output import print_json
    from fks_assets.stores.ledger.orders import read_order

    stores = open_stores()
    found = read_order(stores.database, order)
    if not found.active:
        raise InvalidInput(f"order {order} is {found.status}: there is nothing to cancel")
    if found.deal_id is None:
        raise InvalidInput(f"order {order} is not the desk's: cancel it where it was placed")
    canceled = asyncio.run(_cancel(open_floor(stores), found, who(by)))
    if json:
        print_json(order_document(canceled))
    else:
        print(f"order {order} in {canceled.market} is {canceled.status}")
    raise typer.Exit(1 if canceled.active else 0)


async def _cancel(floor: "Floor", order: "Order", by: str) -> "Order":
    from fks_assets.desk.cycle import open_account

    async with open_account(floor, order.account, holder=f"fks orders cancel by {by}") as desk:
        await desk.settle()
        return await desk.gateway.cancel(order.id)


def _list(account: str | None, every: bool, limit: int, json: bool) -> None:
    from fks_assets.assets.portfolio.documents import order_document
    from fks_assets.stores.ledger.accounts import read_account
    from fks_assets.stores.ledger.orders import read_orders

    stores = open_stores()
    name = None if account is None else read_account(stores.database, account).name
    found = read_orders(stores.database, account=name, active=None if every else True, newest=limit)
    show("orders", "Orders (UTC)", [order_document(each) for each in found], COLUMNS, json)
