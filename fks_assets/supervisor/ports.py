"""Local TCP ports."""

import socket
from collections.abc import Container

from fks_assets.errors import InvalidInput, StoreError

HOST = "127.0.0.1"
SEARCHED_PORTS = 200


def is_free(port: int) -> bool:
    """Return whether we can listen on the local port now; raise InvalidInput for one that this user may not use."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise InvalidInput(f"port {port} of {HOST} is reserved for the administrator; choose one from 1024 on") from None
        except OSError:
            return False
        return True


def next_free(port: int, promised: Container[int] = ()) -> int:
    """Return the port itself or the first free one above it; raise StoreError when 200 in a row are taken.

    Ports that are `promised` to another part of the desk, which may not listen yet, are left to it.
    """
    last = min(port + SEARCHED_PORTS, 65536)
    for candidate in range(port, last):
        if candidate not in promised and is_free(candidate):
            return candidate
    raise StoreError(f"ports {port} to {last - 1} of {HOST} are all taken; choose another with --port")


def any_free() -> int:
    """Return a free port of the operating system's choice."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
