"""Parameters of a strategy from a file that a person wrote."""

import json
import tomllib
from pathlib import Path
from typing import Any

from fks_assets.errors import InvalidInput


def read_parameter_file(path: Path) -> dict[str, Any]:
    """Return the parameters in a .json or .toml file. Raises InvalidInput with one line that names the file."""
    if path.suffix not in (".json", ".toml"):
        raise InvalidInput(f"{path}: a file of parameters ends in .json or .toml")
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidInput(f"{path}: is not valid {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(values, dict):
        raise InvalidInput(f"{path}: holds {type(values).__name__}; it must hold parameters by name")
    return values
