"""How the command line shows results and progress: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text


def errors() -> Console:
    """The console on stderr."""
    return Console(stderr=True, highlight=False)


@contextmanager
def progress(what: str) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on stderr; gives the function (text, share in [0, 1]) that moves it."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    # on a narrow terminal the last column is broken into lines, and the others are whole
    columns = (SpinnerColumn(), TextColumn('[bold]{task.description}', table_column=Column(no_wrap=True)),
               BarColumn(bar_width=10), TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
               TextColumn('{task.fields[text]}', table_column=Column(ratio=1)))
    with Progress(*columns, console=errors(), transient=True, expand=True) as bars:
        bar = bars.add_task(what, total=1.0, text='starting')
        yield lambda text, share: bars.update(bar, completed=min(max(share, 0.0), 1.0), text=escape(text))


def show_result(result: dict[str, Any], as_json: bool, title: str) -> None:
    """Print a result as one JSON object, or as a table of its plain values and one of each list of mappings."""
    if as_json:
        print_json(result)
        return
    lists = {key: value for key, value in result.items() if isinstance(value, list)}
    print_table(title, ('', ''), [(key.replace('_', ' '), value) for key, value in result.items()
                                  if key not in lists and not isinstance(value, dict)])
    for key, entries in lists.items():
        if entries and isinstance(entries[0], dict):
            print_table(key.replace('_', ' '), [name.replace('_', ' ') for name in entries[0]],
                        [tuple(entry.values()) for entry in entries])


def print_json(value: Any) -> None:
    """Print one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], notes: Sequence[str] = ()) -> None:
    """Print a table; the columns may all be nameless, and a cell may be a ``rich.text.Text``."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table(title=escape(title), title_justify='left', show_header=any(columns))
    for i, column in enumerate(columns):
        table.add_column(escape(column), overflow='fold', no_wrap=i == 0)
    for row in rows:
        table.add_row(*map(_text, row))
    console.print(table)
    for note in notes:
        console.print(escape(note), soft_wrap=True)


def _text(value: Any) -> str | Text:
    if value is None:
        return '–'
    if isinstance(value, Text):
        return value
    return f'{value:.4g}' if isinstance(value, float) else escape(str(value))
