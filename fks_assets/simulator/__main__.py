"""Run the simulator: `python -m fks_assets.simulator --port 8787 --seed 7`."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from fks_assets.clock import to_ms
from fks_assets.errors import InvalidInput
from fks_assets.simulator.serve_command import DEFAULT_PORT, run_simulator


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the options; a start without a time zone is UTC."""
    parser = argparse.ArgumentParser(prog="python -m fks_assets.simulator", description=__doc__)
    parser.add_argument("--replay", type=Path, metavar="DIR", help="serve the recorded candles of a directory")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes any free port")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--faults", type=Path, metavar="FILE", help="fault rules, TOML or JSON")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds in a real one, 0 stands still")
    parser.add_argument("--start", type=_time, metavar="TIME", help="simulated time to begin with (UTC)")
    parser.add_argument("--dialect", choices=("binance", "kraken", "wallex", "nobitex"), help="answer in one dialect only")
    parser.add_argument("--idle-exit", type=float, metavar="SECONDS", help="stop after so long without a request")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Serve until stopped; return 2 with one line on stderr for wrong input."""
    options = parse_arguments(arguments)
    try:
        run_simulator(
            replay=options.replay,
            port=options.port,
            seed=options.seed,
            faults=options.faults,
            speed=options.speed,
            start_ms=options.start,
            dialect=options.dialect,
            idle_exit=options.idle_exit,
        )
    except InvalidInput as error:
        print(f"fks simulate: {error}", file=sys.stderr)
        return 2
    return 0


def _time(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
