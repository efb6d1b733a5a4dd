"""What is in the memory of a process: its bytes, read from outside, and its objects, told by itself."""

import sys
from collections.abc import Mapping

import pytest

from fks_assets_tests.security.canaries import forms

requires_memory = pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
_LARGEST_REGION = 512 * 2**20


def hits_in_memory(pid: int, secrets: Mapping[str, str | bytes]) -> set[str]:
    """Return the names of the secrets that are in the memory of a process, in any form (raw bytes as they are)."""
    wanted = {name: [secret] if isinstance(secret, bytes) else list(forms(secret).values()) for name, secret in secrets.items()}
    found, read = set(), 0
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, access, *_, last = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if "r" not in access or last in ("[vvar]", "[vsyscall]") or end - start > _LARGEST_REGION:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:
                continue
            read += len(data)
            found |= {name for name, texts in wanted.items() if any(text in data for text in texts)}
    assert read > 20 * 2**20, f"only {read} bytes of process {pid} could be read"
    return found
