"""`fks upkeep`."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.archive import ArchiveResult


def register(app: typer.Typer) -> None:
    app.command()(upkeep)


def upkeep(
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="gap-records, archive or objects; all if not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen; nothing changes.")] = False,
    json: JsonFlag = False,
) -> None:
    """Do the desk's upkeep now: forget old gap records, archive old candles, sweep objects that nothing names."""
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.settings import load_settings

    if task is not None and task not in TASKS:
        raise InvalidInput(f"upkeep task {task!r} is unknown; known: {', '.join(TASKS)}")
    settings = load_settings()
    from fks_assets.resources.stores import Stores

    stores = Stores(settings)
    done = [{"task": name, **run(stores, dry_run)} for name, run in TASKS.items() if task in (None, name)]
    failed = [failure for each in done for failure in each.get("failed", ())]
    if json:
        print_json({"dry_run": dry_run, "tasks": done})
    else:
        rows = [
            (each["task"], name.replace("_", " "), len(value) if isinstance(value, list) else value)
            for each in done
            for name, value in each.items()
            if name != "task"
        ]
        print_table("Upkeep, dry run" if dry_run else "Upkeep", ("task", "figure", "value"), rows)
        for failure in failed:
            print(f"fks: {failure['partition']}: {failure['reason']}", file=sys.stderr)
    raise typer.Exit(1 if failed else 0)


def _gap_records(stores: "Stores", dry_run: bool) -> dict[str, Any]:
    from fks_assets.stores.gap_records import delete_old_gaps

    days = stores.settings.retention.gap_records
    with stores.database.transaction() as connection:
        filled, failed = delete_old_gaps(connection, now_ms() - days * MILLISECONDS_PER_DAY)
        if dry_run:
            connection.rollback()
    return {"days": days, "filled_deleted": filled, "failed_deleted": failed}


def _archive(stores: "Stores", dry_run: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from fks_assets.stores.archive import first_month_kept, pending_archive

    days = stores.settings.retention.candles
    first_month = first_month_kept(days, now_ms())
    result = pending_archive(stores.candles, first_month)
    if not dry_run:
        result = _archive_with_progress(stores, first_month, result.months_archived)
    failed = [{"partition": partition, "reason": reason} for partition, reason in result.failed]
    return {"days_to_keep": days, "first_month_kept": first_month, **asdict(result), "failed": failed}


def _archive_with_progress(stores: "Stores", first_month: str, months: int) -> "ArchiveResult":
    from rich.console import Console
    from rich.progress import Progress

    from fks_assets.ids import unique_name
    from fks_assets.stores.archive import archive_candles

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        bar = progress.add_task("archiving months", total=months)
        return archive_candles(
            stores.candles,
            first_month,
            run_id=f"cli-{unique_name()}",
            on_batch=lambda so_far: progress.update(bar, completed=so_far.months_archived + len(so_far.failed)),
        )


def _objects(stores: "Stores", dry_run: bool) -> dict[str, Any]:
    from fks_assets.assets.operations.store_upkeep import GRACE_SECONDS
    from fks_assets.stores.heads import storage_use

    swept = stores.candles.sweep(GRACE_SECONDS, dry_run=dry_run)
    with stores.database.transaction() as connection:
        use = storage_use(connection)
    return {
        "objects_removed": swept.objects_removed,
        "bytes_removed": swept.bytes_removed,
        "months": use.months,
        "archived_months": use.archived_months,
        "objects_per_month": use.objects / use.months if use.months else None,
        "revision_objects": use.revision_objects,
    }


TASKS: dict[str, Callable[["Stores", bool], dict[str, Any]]] = {
    "gap-records": _gap_records,
    "archive": _archive,
    "objects": _objects,
}
