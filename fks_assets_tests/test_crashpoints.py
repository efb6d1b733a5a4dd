"""A named point kills its process, the n-th time it is reached, and does nothing for anybody else."""

import subprocess
import sys

import pytest

SCRIPT = """
from fks_assets.crashpoints import crashpoint
for number in range(4):
    print(number, flush=True)
    crashpoint("before the send")
    crashpoint("after the send")
"""


@pytest.mark.parametrize(
    ("environment", "said", "code"),
    [
        ({}, "0123", 0),
        ({"FKS_CRASHPOINT": "elsewhere"}, "0123", 0),
        ({"FKS_CRASHPOINT": "before the send"}, "0", -9),
        ({"FKS_CRASHPOINT": "after the send", "FKS_CRASHPOINT_SKIP": "2"}, "012", -9),
        ({"FKS_CRASHPOINT": "after the send", "FKS_CRASHPOINT_SKIP": "4"}, "0123", 0),
    ],
)
def test_a_process_dies_at_the_point_that_is_named(environment: dict[str, str], said: str, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.stdout.replace("\n", ""), ended.returncode) == (said, code)
