"""``python -m benchmarks [NAME[:CASE,CASE] ...] [-o FILE]``; see README.md beside this."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import (
    builds,
    conversion,
    copies,
    latency,
    machine,
    memory,
    overhead,
    plugin_calls,
    plugins,
    records,
    suppression,
    threads,
    throughput,
    zoo,
)
from benchmarks.base import Benchmark, Row

BENCHMARKS = {
    "latency": latency.BENCHMARK,
    "conversion": conversion.BENCHMARK,
    "conversion_cpu": conversion.BENCHMARK_CPU,
    "builds": builds.BENCHMARK,
    "overhead": overhead.BENCHMARK,
    "plugins": plugins.BENCHMARK,
    "plugin_calls": plugin_calls.BENCHMARK,
    "nms": suppression.BENCHMARK,
    "threads": threads.BENCHMARK,
    "copies": copies.BENCHMARK,
    "memory": memory.BENCHMARK,
    "throughput": throughput.BENCHMARK,
    "models": zoo.BENCHMARK,
}
# Written to a file or a pipe, a table should be as wide as it needs.
CONSOLE = Console() if sys.stdout.isatty() else Console(width=160)


def main() -> int:
    """Run what was asked for; 1 if a case failed, 2 if a benchmark cannot run here, else 0."""
    arguments = _arguments()
    os.environ["TRTDSL_CACHE"] = "off"  # a build that is timed must be one
    path = arguments.output or Path(__file__).parent / "results" / f"{machine.slug()}.json"
    why_not = machine.why_no_gpu_runs()
    status = 0
    for text in arguments.names or _defaults(why_not):
        name, _, cases = text.partition(":")
        if name not in BENCHMARKS:
            raise SystemExit(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
        benchmark = BENCHMARKS[name]
        if benchmark.needs_gpu and why_not is not None:
            CONSOLE.print(f"{name} needs TensorRT and a GPU: {why_not}", markup=False)
            status = max(status, 2)
            continue
        record, chosen = (
            _record(name, arguments.commit),
            cases.split(",") if cases else benchmark.cases,
        )
        with benchmark.ready(chosen, arguments.jobs, arguments.limit) as run:
            rows = _run(record, replace(benchmark, run=run), chosen, path)
        if any("error" in row for row in rows):
            status = 1
        CONSOLE.print(f"results: {path}", markup=False)
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    kinds = ", ".join(f"{n} ({', '.join(b.cases)})" for n, b in BENCHMARKS.items())
    parser.add_argument("names", nargs="*", help=f"NAME or NAME:CASE,CASE of: {kinds}")
    parser.add_argument("-o", "--output", type=Path, help="the JSON file to append records to")
    parser.add_argument("--commit", help="the commit, where the files are not in a git checkout")
    help_jobs = "how many processes build the engines of models at once"
    parser.add_argument("--jobs", type=int, default=1, help=help_jobs)
    help_limit = "seconds that all of them may take; what is not built then has failed"
    parser.add_argument("--limit", type=float, default=86400, help=help_limit)
    return parser.parse_args()


def _defaults(why_not: str | None) -> list[str]:
    """What can run here; with a GPU, ``conversion`` measures what ``conversion_cpu`` would."""
    if why_not is None:
        return [n for n, b in BENCHMARKS.items() if b.by_default and n != "conversion_cpu"]
    CONSOLE.print(f"only what needs no GPU: {why_not}", markup=False)
    return [n for n, b in BENCHMARKS.items() if b.by_default and not b.needs_gpu]


def _record(name: str, commit: str | None) -> dict[str, Any]:
    return {
        "benchmark": name,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or machine.commit(),
        "machine": machine.describe(),
        "rows": [],
        "targets": [],
    }


def _run(
    record: dict[str, Any], benchmark: Benchmark, cases: Sequence[str], path: Path
) -> list[Row]:
    """Run the cases, written after each of them, so that a run cut short keeps what it has."""
    before, name = records.read(path), record["benchmark"]
    for case in cases:
        CONSOLE.print(f"{name}: {case} ...", markup=False)
        record["rows"].append(_row(benchmark, case))
        good = [row for row in record["rows"] if "error" not in row]
        targets = benchmark.targets(good)
        record["targets"] = [
            {"what": t.what, "value": t.value, "limit": t.limit, "met": t.is_met} for t in targets
        ]
        records.append(path, before, record)
    CONSOLE.print(_table(name, benchmark, good))
    for target in targets:
        CONSOLE.print(f"  {target}", style="green" if target.is_met else "red", highlight=False)
    return list(record["rows"])


def _row(benchmark: Benchmark, case: str) -> Row:
    """A case's row; of one that fails, the error, so that the cases after it still run."""
    start = time.perf_counter()
    try:
        row = benchmark.run(case)
    except Exception as error:
        CONSOLE.print(traceback.format_exc(), style="red", markup=False, highlight=False)
        row = {"case": case, "error": f"{type(error).__name__}: {error}"}
    return row | {"took_seconds": time.perf_counter() - start}


def _table(name: str, benchmark: Benchmark, rows: Sequence[Row]) -> Table:
    table = Table(title=name, title_justify="left")
    for index, header in enumerate(benchmark.columns):
        table.add_column(escape(header), justify="right" if index else "left")
    for row in rows:
        table.add_row(*(escape(cell(row)) for cell in benchmark.columns.values()))
    return table


if __name__ == "__main__":
    sys.exit(main())
