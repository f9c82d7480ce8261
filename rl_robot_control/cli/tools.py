"""Commands about this installation: list, bench, doctor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from rl_robot_control.cli.app import app
from rl_robot_control.cli.common import KINDS, JsonOption, names_of
from rl_robot_control.cli.output import errors, print_json, print_table, progress, show_result
from rl_robot_control.errors import ConfigurationError, UnknownNameError


@app.command('list')
def list_names(kind: Annotated[str, typer.Argument(metavar='|'.join(KINDS), help='What to list.')],
               as_json: JsonOption = False) -> None:
    """List robots, tasks, algorithms or bundled policies."""
    names = names_of(kind)
    if as_json:
        print_json(names)
        return
    if not names:
        errors().print(f'no {kind}.')
    width = max(map(len, names), default=0)
    for name in names:
        print(f'{name:{width}}  {_description(kind, name)}'.rstrip())


@app.command()
def bench(name: Annotated[str, typer.Argument(metavar='NAME', help='vector_env, lockstep, shield or inference.')],
          as_json: JsonOption = False) -> None:
    """Measure the speed of a part beside a bare reference."""
    import inspect as inspect_module

    from rl_robot_control.config import config_directory
    folder = config_directory().parent / 'benchmarks'
    names = [path.stem for path in folder.glob('*.py')]
    if name not in names:
        raise UnknownNameError('benchmark', name, names)
    with progress(name) as show:
        show('measuring', 0.0)
        measure = _load(folder / f'{name}.py').measure
        needed = [p.name for p in inspect_module.signature(measure).parameters.values() if p.default is p.empty]
        if needed:
            raise ConfigurationError(f"benchmark '{name}' runs on its own: it wants to know {', '.join(needed)}. See: "
                                     f"python {folder / f'{name}.py'} --help")
        result = measure()
    show_result(result, as_json, title=name)


@app.command()
def doctor(robot: Annotated[str | None, typer.Option(help='Show its limits, and where each comes from.')] = None,
           as_json: JsonOption = False) -> None:
    """Check this installation, or show a robot's limits."""
    from rl_robot_control import doctor as checks
    if robot is not None:
        tables = checks.limits_tables(robot)
        if as_json:
            print_json([table.as_dict() for table in tables])
        else:
            for table in tables:
                print_table(table.title, table.columns, table.rows, (*table.notes, ''))
        return
    findings = []
    for check in checks.CHECKS:
        findings += check()
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        marks = {True: Text('ok', 'green'), False: Text('missing', 'red'), None: Text('note', 'yellow')}
        rows = [(marks[f.good], f.name, f.detail + (f'\n→ {f.advice}' if f.advice else '')) for f in findings]
        print_table('installation', ('', 'what', ''), rows)
    if any(finding.good is False for finding in findings):
        raise typer.Exit(1)


def _description(kind: str, name: str) -> str:
    """What a settings file says of itself; nothing for a policy."""
    from rl_robot_control.config import find_config, load_yaml
    if kind == 'policies':
        return ''
    return str(load_yaml(find_config(kind, name)).get('description', ''))


def _load(path: Path) -> Any:
    """Run a Python file as a module."""
    import importlib.util
    spec = importlib.util.spec_from_file_location(f'rl_robot_control_benchmark_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
