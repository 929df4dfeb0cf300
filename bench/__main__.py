"""Owns the command line of the benchmarks; measures nothing itself."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.children import PROJECT
from bench.figures import GROUPS
from bench.machine import this_machine, wait_for_quiet
from bench.measurement import Measurement, Skipped
from bench.plan import FULL, QUICK, Run
from bench.report import print_report, write_json

RESULTS = PROJECT / "bench" / "results" / "latest.json"
# Not the system's temporary directory: that one may be held in memory, where a commit to disk costs nothing.
WORK = PROJECT / ".bench-work"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; return 1 only with --strict, if a target was missed or a figure skipped."""
    options = _parser().parse_args(arguments)
    machine = this_machine(PROJECT)
    results: list[Measurement | Skipped] = []
    with _work_directory() as directory:
        run = Run(QUICK if options.quick else FULL, directory)
        for name in options.only or GROUPS:
            wait_for_quiet(options.patience)
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            results += GROUPS[name](run)
    print_report(machine, results)
    write_json(options.json, machine, results, quick=options.quick)
    print(f"\nwritten to {options.json}")
    missed = [result for result in results if isinstance(result, Skipped) or not result.met]
    return 1 if options.strict and missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Thingmint against named references.")
    parser.add_argument(
        "--quick", action="store_true", help="a sanity check in about 90 seconds: fewer rounds and rows"
    )
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="measure this group only (repeatable)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed or a figure skipped")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write the results")
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for a quiet machine before each group",
    )
    return parser


@contextmanager
def _work_directory() -> Iterator[Path]:
    WORK.mkdir(exist_ok=True)
    (WORK / ".gitignore").write_text("*\n")
    with tempfile.TemporaryDirectory(dir=WORK, prefix="run-") as directory:
        yield Path(directory)


if __name__ == "__main__":
    sys.exit(main())
