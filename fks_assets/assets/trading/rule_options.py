"""Trading rules of a backtest by name, as people type them: `sizing.kind=fraction`, `costs.slippage=0.0005`, `short=true`."""

import tomllib
from collections.abc import Sequence
from typing import Any

from fks_assets.errors import InvalidInput


def assignments(texts: Sequence[str], option: str) -> dict[str, Any]:
    """Return the values of `key=value` texts; a value is read as TOML, and as plain text where it is none.

    Raises InvalidInput for a text of another form or of several lines, and a key given twice.
    """
    values: dict[str, Any] = {}
    for key, value in named_texts(texts, option).items():
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value
    return values


def named_texts(texts: Sequence[str], option: str) -> dict[str, str]:
    """Return what stands behind the first `=` of each text, by what stands before it; raise InvalidInput as `assignments`."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InvalidInput(f"{option} {text!r} is not of the form NAME=VALUE")
        if len(text.splitlines()) > 1:
            raise InvalidInput(f"{option} {text!r} is more than one line: give {option} once for each")
        if key.strip() in found:
            raise InvalidInput(f"{option} {key.strip()} is given twice")
        found[key.strip()] = value
    return found
