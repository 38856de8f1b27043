"""``trtdsl cache ls | clear``: what builds have left on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from trtdsl.cache import Store, default_place

__all__ = ["app"]

_OUT = Console()

app = typer.Typer(
    help="The engines and timings that builds have kept; TRTDSL_CACHE names the place, or is off.",
    no_args_is_help=True,
    add_completion=False,
)

Place = Annotated[Path | None, typer.Option("--place", help="the cache directory")]


@app.command("ls")
def listed(place: Place = None) -> None:
    """List the entries, the one used last first."""
    store = _store(place)
    if store is None:
        return
    entries = store.entries()
    table = Table(title=escape(str(store.root)), title_justify="left")
    for column in ("kind", "of", "size", "used", "key"):
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        table.add_row(entry.kind, escape(entry.about), decimal(entry.size), used, entry.key[:12])
    _OUT.print(table)
    _OUT.print(f"{len(entries)} entries, {decimal(sum(entry.size for entry in entries))}")


@app.command()
def clear(place: Place = None) -> None:
    """Remove all entries; what other files there are stays."""
    store = _store(place)
    if store is not None:
        _OUT.print(f"freed {decimal(store.clear())} in {escape(str(store.root))}")


def _store(place: Path | None) -> Store | None:
    root = place or default_place()
    if root is None:
        _OUT.print("the cache is off: TRTDSL_CACHE says so")
        return None
    return Store(root, limit=0)
