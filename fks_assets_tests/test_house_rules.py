"""Rules that keep the house in order: imports point down, one clock, one maker of ids, small files, light definitions."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "fks_assets"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 400

FOUNDATION = {
    "fks_assets.errors",
    "fks_assets.clock",
    "fks_assets.ids",
    "fks_assets.crashpoints",
    "fks_assets.redaction",
    "fks_assets.alive",
}
MAY_IMPORT = {
    "quant": {"quant"},
    "stores": {"stores", "quant"},
    "exchanges": {"exchanges", "quant"},
    "simulator": {"simulator", "quant"},
    "desk": {"desk", "stores", "exchanges", "quant", "settings"},
    "imports": {"imports", "quant", "exchanges.dialects"},
    "notify": {"notify", "stores", "quant", "settings"},
    "resources": {"resources", "desk", "stores", "exchanges", "simulator", "quant", "settings"},
    "assets": {"assets", "resources", "notify", "desk", "stores", "exchanges", "imports", "quant", "settings", "partitions"},
    "settings": {"settings", "quant", "exchanges.dialects", "exchanges.profile"},
    "partitions": {"quant", "settings"},
}
NO_THIRD_PARTY = {
    "quant": {"dagster", "sqlalchemy", "ccxt", "requests", "httpx", "aiohttp", "psycopg2", "starlette", "upath"},
    "stores": {"dagster", "ccxt", "aiohttp"},
    "exchanges": {"dagster"},
    "desk": {"dagster"},
    "simulator": {"dagster", "sqlalchemy", "ccxt"},
    "imports": {"dagster", "sqlalchemy", "ccxt"},
    "notify": {"dagster", "ccxt"},
}
BANNED_CALLS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "uuid.uuid4",
    "uuid4",
    "pd.Timestamp.now",
    "pd.Timestamp.utcnow",
    "np.random.rand",
    "np.random.seed",
    "random.random",
    "random.choice",
    "random.randint",
    "random.uniform",
    "random.shuffle",
    "random.seed",
    "secrets.token_hex",
}
SEAMS = {"clock.py", "ids.py"}


@cache
def nodes_of(source: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))


def imports_of(source: Path) -> Iterator[str]:
    for node in nodes_of(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import"
            yield node.module or ""


def calls_of(source: Path) -> Iterator[ast.Call]:
    return (node for node in nodes_of(source) if isinstance(node, ast.Call))


def room_of(source: Path) -> str:
    return source.relative_to(PACKAGE).parts[0].removesuffix(".py")


def may_import(room: str, name: str) -> bool:
    allowed = MAY_IMPORT.get(room)
    if name.split(".")[0] in NO_THIRD_PARTY.get(room, set()):
        return False
    if not name.startswith("fks_assets.") or name in FOUNDATION or allowed is None:
        return True
    inner = name.removeprefix("fks_assets.")
    return any(inner == each or inner.startswith(f"{each}.") for each in allowed)


def test_imports_point_down_only() -> None:
    assert len(SOURCES) > 500
    found = [(source, name) for source in SOURCES for name in imports_of(source)]
    assert [f"{source} imports {name}" for source, name in found if not may_import(room_of(source), name)] == []


def test_only_the_seams_read_the_clock_or_draw_ids() -> None:
    wrong = []
    for source in SOURCES:
        if source.name in SEAMS and source.parent == PACKAGE:
            continue
        modules = set(imports_of(source)) | {"np", "pd", "datetime", "date", "uuid4"}
        for node in calls_of(source):
            called = ast.unparse(node.func)
            if called in BANNED_CALLS and called.split(".")[0] in modules:
                wrong.append(f"{source}:{node.lineno}: {called}: use fks_assets.clock or fks_assets.ids")
    assert wrong == []


def test_no_file_grows_into_two_rooms() -> None:
    lines = {source: len(source.read_text(encoding="utf-8").splitlines()) for source in SOURCES}
    assert {source: count for source, count in lines.items() if count > LONGEST_FILE} == {}


def test_candles_are_judged_by_what_no_strategy_can_replace() -> None:
    """`Strategy.evaluate(strategy, …)`: an attribute of an instance or of its class would come before the method."""
    called = [(source, node) for source in SOURCES for node in calls_of(source) if isinstance(node.func, ast.Attribute)]
    evaluated = [(source, node) for source, node in called if node.func.attr == "evaluate"]
    assert evaluated
    assert [f"{source}:{node.lineno}" for source, node in evaluated if ast.unparse(node.func) != "Strategy.evaluate"] == []


def test_definitions_load_nothing_heavy_and_what_they_load_is_never_searched_for_garbage() -> None:
    heavy = ["ccxt", "talib", "numba", "pyarrow.compute", "pandas", "pyarrow", "matplotlib", "scipy", "optuna", "cryptography"]
    shown = f"[name for name in {heavy!r} if name in sys.modules], len(gc.get_objects()) < gc.get_freeze_count()"
    script = f"import gc, sys, fks_assets.definitions; print({shown})"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert answer.stdout.strip().splitlines()[-1:] == ["[] True"], answer.stdout + answer.stderr


def test_no_asset_uses_a_pickling_io_manager() -> None:
    from fks_assets.definitions import defs

    for asset in defs.resolve_asset_graph().assets_defs:
        for output in asset.op.output_defs if asset.is_executable and hasattr(asset, "op") else []:
            assert (
                output.dagster_type.is_nothing
                or output.dagster_type.is_any
                or output.dagster_type.display_name == "MaterializeResult"
            )
