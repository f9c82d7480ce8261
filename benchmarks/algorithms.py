"""What each way of learning reaches with a fixed budget, beside acting at random and, where there is one, a script.

Every trial (one row, one seed) is a process of its own and leaves a file in the results' folder, so that the table can
be stopped and gone on with. Policies are scored without exploration over 64 episodes of the task's training physics.

    python benchmarks/algorithms.py --seeds 3 --jobs 2 --out runs/algorithms --into docs/algorithms.md \\
        --tell config/algorithms
    python benchmarks/algorithms.py --rows dqn_joint_servo --seeds 1
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import queue
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from algorithm_rows import ROWS

from rl_robot_control.files import write_whole

TRIAL_TIMEOUT = 1800.0  # [s]
MARKS = '<!-- algorithms -->\n', '<!-- end -->'


def run_trial(name: str, seed: int, out: Path) -> None:
    """One trial; leaves ``NAME_SEED.json``. What a killed one had learnt is gone on with."""
    folder = out / 'runs' / f'{name}_{seed}'
    began, cpu = time.monotonic(), time.process_time()
    numbers = ROWS[name].trial(seed, folder)
    numbers |= {'trial seconds': time.monotonic() - began, 'cpu seconds': time.process_time() - cpu}
    write_whole(out / f'{name}_{seed}.json', json.dumps(numbers).encode())
    shutil.rmtree(folder, ignore_errors=True)


def measure(names: Iterable[str], seeds: int, jobs: int, out: Path) -> None:
    """Run the trials that have left no file yet, each in a process."""
    pending = [(name, seed) for seed in range(1, seeds + 1) for name in names
               if not (out / f'{name}_{seed}.json').is_file()]

    shares: queue.Queue[list[int]] = queue.Queue()
    cores = sorted(os.sched_getaffinity(0))
    for i in range(jobs):
        shares.put(cores[i::jobs] or cores)

    def run(entry: tuple[str, int]) -> None:
        name, seed = entry
        share = shares.get()  # trials do not take each other's cores
        command = [sys.executable, __file__, '--trial', name, str(seed), '--out', str(out),
                   '--cores', *map(str, share)]
        out.mkdir(parents=True, exist_ok=True)
        with (out / f'{name}_{seed}.log').open('w') as log:
            try:
                code = subprocess.run(command, stdout=log, stderr=log, timeout=TRIAL_TIMEOUT).returncode
            except subprocess.TimeoutExpired:
                code = f'no end after {TRIAL_TIMEOUT:.0f} s'
        shares.put(share)
        print(f'{name}, seed {seed}: {"done" if code == 0 else f"failed ({code}), see {log.name}"}', file=sys.stderr,
              flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, pending))


def collected(names: Iterable[str], out: Path) -> dict[str, list[dict[str, float]]]:
    """The numbers of each row's trials that have come to an end."""
    return {name: [json.loads(path.read_text()) for path in sorted(out.glob(f'{name}_[0-9]*.json'))] for name in names}


def table(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """The result as lines of a Markdown table: means over the seeds, with the least and the greatest."""
    lines = ['| family | what | measured | demanded | seeds | verdict |', '|---|---|---|---|---|---|']
    for name, trials in found.items():
        row = ROWS[name]
        if not trials:
            lines.append(f'| {row.family} | {row.what} | – | {row.demand} | 0 | not measured |')
            continue
        mean = {key: float(np.mean([trial[key] for trial in trials])) for key in trials[0]}
        shown = ', '.join(_number(key, [trial[key] for trial in trials]) for key in row.shown if key in mean)
        lines.append(f'| {row.family} | {row.what} | {shown} | {row.demand} | {len(trials)} | '
                     f'{"met" if row.met(mean) else "**missed**"} |')
    return lines


def _number(name: str, values: list[float]) -> str:
    mean, spread = np.mean(values), f' ({min(values):.3g} to {max(values):.3g})'
    if name in ('success', 'SAC', 'kept') or name.endswith(' kept'):
        spread = f' ({100 * min(values):.0f} to {100 * max(values):.0f})'
        return f'{name} {100 * mean:.0f} %' + (spread if len(values) > 1 and max(values) > min(values) else '')
    if name.startswith('steps'):
        reached = [value for value in values if np.isfinite(value)]
        never = len(values) - len(reached)
        of = '' if not never else f' ({never} of {len(values)} never)'
        return f'{name} {np.mean(reached):,.0f}{of}' if reached else f'{name} never'
    if name == 'seconds':
        return f'{mean:.0f} s'
    return f'{name} {mean:.3g}' + (spread if name not in ('random', 'script') and len(values) > 1 else '')


def write_into(document: Path, found: dict[str, list[dict[str, float]]], note: str) -> None:
    """Replace what stands between the marks in a page by the table; rows that were not measured stay as they are.

    Args:
        document: The page.
        found: The numbers of trials, by row.
        note: How they came about; where rows stay, it stands beside the earlier notes.
    """
    text = document.read_text()
    head, mark, rest = text.partition(MARKS[0])
    if not mark or MARKS[1] not in rest:
        raise SystemExit(f"{document} has no '{MARKS[0].strip()}' ... '{MARKS[1]}' to write the table into.")
    body, _, tail = rest.partition(MARKS[1])
    old = {line.split(' | ')[1]: line for line in body.splitlines() if line.startswith('| ')}
    title, rule, *new = table({name: found.get(name, []) for name in ROWS})
    lines = [line if found.get(row.name) else old.get(row.what, line)
             for line, row in zip(new, ROWS.values(), strict=True)]
    stay = [] if all(found.get(name) for name in ROWS) else _notes(body)
    command = note.partition('` on ')[0]
    notes = [*(earlier for earlier in stay if not earlier.startswith(command)), note]
    written = head + mark + '\n\n'.join(notes) + '\n\n' + '\n'.join([title, rule, *lines]) + '\n' + MARKS[1] + tail
    write_whole(document, written.encode())


def _notes(body: str) -> list[str]:
    """The paragraphs above a table."""
    above = body[:body.index('| family')] if '| family' in body else body
    return [paragraph.strip() for paragraph in above.split('\n\n') if paragraph.strip()]


def write_measured(found: dict[str, list[dict[str, float]]], folder: Path) -> None:
    """Say in the algorithms' files what was measured: ``measured`` stands last there, a line for each task."""
    lines: dict[str, dict[str, str]] = {}
    for name, trials in found.items():
        pair = ROWS[name].pair
        if trials and pair is not None:
            means = {key: float(np.mean([trial[key] for trial in trials])) for key in MEASURED if key in trials[0]}
            values = ', '.join(f'{key}: {MEASURED[key](value)}' for key, value in means.items())
            lines.setdefault(pair[0], {})[pair[1]] = f'  {pair[1]}: {{{values}, seeds: {len(trials)}}}\n'
    for algorithm, tasks in lines.items():
        path = folder / f'{algorithm}.yaml'
        text, _, old = path.read_text().partition('measured:\n')
        kept = {line.split(':')[0].strip(): f'{line}\n' for line in old.splitlines()}
        write_whole(path, (text + 'measured:\n' + ''.join((kept | tasks).values())).encode())


MEASURED = {'return': '{:.3g}'.format, 'success': '{:.2f}'.format, 'steps': '{:.0f}'.format,
            'seconds': '{:.0f}'.format}  # of a trial, and how a file says it


def main(words: Sequence[str] | None = None) -> None:
    """Run what is asked for on the command line, or by the same words."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--rows', nargs='+', metavar='ROW', help='of the table; default all')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--jobs', type=int, default=2, help='trials at a time')
    parser.add_argument('--out', type=Path, default=Path('runs/algorithms'), help='folder of the results')
    parser.add_argument('--into', type=Path, help='page whose table takes the rows')
    parser.add_argument('--tell', type=Path, help="folder of the algorithms' files, which then say what was measured")
    parser.add_argument('--short', action='store_true', help='a few quick rows with one seed')
    parser.add_argument('--list', action='store_true', help='print the names of the rows')
    parser.add_argument('--trial', nargs=2, metavar=('ROW', 'SEED'), help='one trial, in this process')
    parser.add_argument('--cores', nargs='+', type=int, help='that a trial may use')
    arguments = parser.parse_args(words)
    if arguments.cores:
        os.sched_setaffinity(0, arguments.cores)
    if arguments.list:
        print('\n'.join(ROWS))
        return
    names = arguments.rows or [name for name, row in ROWS.items() if row.short or not arguments.short]
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"there is no row '{unknown[0]}'; --list prints their names")
    if arguments.trial:
        run_trial(arguments.trial[0], int(arguments.trial[1]), arguments.out)
        return
    began = time.monotonic()
    seeds = 1 if arguments.short else arguments.seeds
    measure(names, seeds, arguments.jobs, arguments.out)
    found = collected(names, arguments.out)
    lines = table(found)
    print('\n'.join(lines))
    if arguments.into:
        hours = sum(trial['trial seconds'] for trials in found.values() for trial in trials) / 3600 / arguments.jobs
        rows = f'--rows {" ".join(arguments.rows)} ' if arguments.rows else '--short ' if arguments.short else ''
        note = (f'`python benchmarks/algorithms.py {rows}--seeds {seeds} --jobs {arguments.jobs}` on '
                f'{platform.machine()} with {len(os.sched_getaffinity(0))} cores, {datetime.date.today()}: '
                f'{hours:.1f} h. Seconds are of training alone, on one core.')
        write_into(arguments.into, found, note)
    if arguments.tell:
        write_measured(found, arguments.tell)
    print(f'{(time.monotonic() - began) / 60:.1f} min', file=sys.stderr)


if __name__ == '__main__':
    main()
