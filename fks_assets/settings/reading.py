"""Reading the settings: desk.toml, then .env, then the environment (FKS_*); validated once, each error one clear line."""

import os
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError

from fks_assets.errors import SettingsError
from fks_assets.quant.timeframes import TIMEFRAMES
from fks_assets.redaction import HIDDEN, redacted
from fks_assets.settings.desk import Settings

SHIPPED_DESK = Path(__file__).resolve().parent.parent / "desk.toml"
_SECRET_PART = re.compile(r"url|root|secret|passw|token|hook|key", re.IGNORECASE)
# Greedy: a password may hold anything.
_USER_INFO = re.compile(r"(://).*@")
# Read by whoever needs them, and never part of the settings: secrets and switches must not be printed or copied with them.
ENVIRONMENT_ONLY = frozenset({"desk", "shared_data", "nightly", "credential_key", "live", "crashpoint", "crashpoint_skip"})


def read_settings(environment: Mapping[str, str], directory: Path) -> Settings:
    """Return the settings that a process with this environment and working directory has.

    A relative `strategies_folder` is beside the desk file that names it; of .env and the environment, below the directory.

    Raises SettingsError, one line naming file, key and value, for anything unknown, malformed or out of bounds.
    """
    dotenv_file = directory / ".env"
    dotenv = {key: value or "" for key, value in dotenv_values(dotenv_file).items()} if dotenv_file.is_file() else {}
    desk_file = Path(environment.get("FKS_DESK") or dotenv.get("FKS_DESK") or SHIPPED_DESK)
    try:
        values = tomllib.loads(desk_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{desk_file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{desk_file}: is not valid TOML: {error}") from None
    origins: dict[tuple[str, ...], str] = {}
    for name, source in ((".env", dotenv), ("environment", environment)):
        for key, value in source.items():
            if key.startswith("FKS_"):
                _overlay(values, tuple(key[4:].split("__")), value, origins, f"{name}: {key}")
    if isinstance(folder := values.get("strategies_folder"), str):
        # What a file says is meant from where the file is; what a process is told, from where it works.
        beside = directory if ("strategies_folder",) in origins else desk_file.absolute().parent
        values["strategies_folder"] = str((beside / Path(folder).expanduser()).resolve())
    try:
        settings = Settings.model_validate(values)
        return settings.model_copy(update={"home": (directory / settings.home.expanduser()).resolve()})
    except ValidationError as error:
        raise SettingsError(_one_line(error, desk_file, origins)) from None


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Return this process's settings, read once."""
    return read_settings(os.environ, Path.cwd())


def _overlay(values: dict[str, Any], path: tuple[str, ...], value: str, origins: dict[tuple[str, ...], str], origin: str) -> None:
    path = (path[0].lower(), *(part if part in TIMEFRAMES else part.lower() for part in path[1:]))
    if path[0] in ENVIRONMENT_ONLY or path[0].startswith("api_"):
        return
    if path[0] not in Settings.model_fields:
        raise SettingsError(
            f"{origin}: unknown setting; known: {', '.join(sorted(f'FKS_{name.upper()}' for name in Settings.model_fields))}"
        )
    table = values
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{origin}: {part!r} is not a table")
    table[path[-1]] = _scalar(value) if _takes_no_text(path) else value
    origins[path] = origin


def _takes_no_text(path: tuple[str, ...]) -> bool:
    """Return whether what stands there takes no text for a number: strategies, rules of backtests, and the costs of accounts."""
    return path[0] == "strategies" or path[:2] == ("backtests", "rules") or (path[0] == "accounts" and path[2:3] == ("costs",))


def _scalar(value: str) -> Any:
    """Return the number or truth value that the text is in TOML, else the text."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _one_line(error: ValidationError, desk_file: Path, origins: Mapping[tuple[str, ...], str]) -> str:
    first = error.errors(include_url=False)[0]
    location = tuple(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if not location:
        named = next((path for path in origins if message.startswith(path[0])), None)
        return _without_secrets(f"{origins[named] if named else desk_file}: {message}")
    origin = next((text for path, text in origins.items() if _is_about(path, location, message)), desk_file)
    if first["type"] == "extra_forbidden":
        return f"{origin}: {'.'.join(location)}: unknown key"
    # What is wrong with a whole table says which value it means.
    is_value = first["type"] != "missing" and isinstance(first["input"], str | int | float)
    is_secret = "secret" in first["type"] or any(_SECRET_PART.search(part) for part in location)
    shown = f" (value: {first['input']!r})" if is_value and not is_secret else ""
    return _without_secrets(f"{origin}: {'.'.join(location)}: {message}{shown}")


def _is_about(path: tuple[str, ...], location: tuple[str, ...], message: str) -> bool:
    """Return whether an error is about what was set at a path: there, below it, or the key that the message begins with."""
    here = len(location)
    return location[: len(path)] == path or (path[:here] == location and bool(re.match(rf"{re.escape(path[here])}\b", message)))


def _without_secrets(line: str) -> str:
    """Return an error in words without what stands before the host of an address in it: who would read it is not known."""
    return redacted(_USER_INFO.sub(rf"\1{HIDDEN}@", line))
