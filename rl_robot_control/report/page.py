"""``report.json`` with every number and ``report.html`` to look at, written after each stage.

Both files are replaced in one step, so a run that is killed leaves the report of what was done until then.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rl_robot_control.files import write_whole
from rl_robot_control.report.verdict import Target, judge

FORMAT_VERSION = 1
_MEDIA = {'.png': 'image/png', '.webp': 'image/webp', '.gif': 'image/gif'}
_MARK = {True: ('met', '✓'), False: ('missed', '✗'), None: ('open', '–')}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of the page."""

    file: str  # beside report.html
    title: str
    caption: str


class Report:
    """A report under way.

    Args:
        folder: Where ``report.json``, ``report.html`` and the figures are.
        title: Headline.
        subtitle: What was done, in one line.
        settings: Settings of the run, plain data.
        versions: Version by package.
        stages: Names of the stages, in order, all still to be done.
    """

    def __init__(self, folder: Path, *, title: str, subtitle: str, settings: dict[str, Any],
                 versions: dict[str, str], stages: Sequence[str]) -> None:
        self.folder = folder
        self.data: dict[str, Any] = {
            'format_version': FORMAT_VERSION, 'title': title, 'subtitle': subtitle, 'passed': None, 'targets': [],
            'stages': {name: {'status': 'pending'} for name in stages}, 'settings': settings, 'versions': versions,
            'figures': [], 'notes': []}

    def stage(self, name: str) -> dict[str, Any]:
        """A stage's entry, to be filled.

        Holds ``status`` (pending, running, done, failed, interrupted), ``seconds`` and its numbers.
        """
        return self.data['stages'][name]

    def add_figure(self, picture: Picture) -> None:
        """Show a figure; one with the same file takes the place of the earlier."""
        others = [entry for entry in self.data['figures'] if entry['file'] != picture.file]
        self.data['figures'] = [*others, asdict(picture)]

    def clear_pictures(self) -> None:
        """Forget the figures and the remarks."""
        self.data['figures'], self.data['notes'] = [], []

    def note(self, text: str) -> None:
        """Add a remark below the verdict."""
        if text not in self.data['notes']:
            self.data['notes'].append(text)

    def write(self) -> Path:
        """Judge the numbers and write both files; returns the page's path."""
        targets = judge(self.data['stages'])
        self.data['targets'] = [asdict(target) for target in targets]
        self.data['passed'] = None if any(t.met is None for t in targets) else all(t.met for t in targets)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / 'report.json', (json.dumps(finite(self.data), indent=1) + '\n').encode())
        page = self.folder / 'report.html'
        write_whole(page, render(self.data, self.folder, targets).encode())
        return page

    @classmethod
    def load(cls, folder: Path) -> Report | None:
        """The report of an earlier run in this folder; None where there is none that can be read."""
        try:
            data = json.loads((folder / 'report.json').read_text())
        except (OSError, ValueError):
            return None
        if not isinstance(data, dict) or data.get('format_version') != FORMAT_VERSION:
            return None
        report = cls.__new__(cls)
        report.folder, report.data = folder, data
        return report


def finite(value: Any) -> Any:
    """Plain data in which null stands for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if hasattr(value, 'item') and not isinstance(value, (str, bytes)):  # a NumPy scalar
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def render(data: dict[str, Any], folder: Path, targets: Sequence[Target]) -> str:
    """The page's HTML; figures are inside."""
    sections = [_verdict(data, targets), _animation(data, folder), _stages(data), _figures(data, folder),
                _segments(data), _bounds(data), _details(data)]
    return _PAGE.format(title=_text(data['title']), subtitle=_text(data['subtitle']), style=_STYLE,
                        body='\n'.join(section for section in sections if section))


def _verdict(data: dict[str, Any], targets: Sequence[Target]) -> str:
    open_ones = [t for t in targets if t.met is None]
    met = sum(t.met is True for t in targets)
    missed = [t for t in targets if t.met is False]
    kind = 'missed' if missed else 'open' if open_ones else 'met'
    headline = f'{met} of {len(targets)} targets met' + (f', {len(open_ones)} not measured' if open_ones else '')
    rows = ''.join(f'<tr class="{_MARK[t.met][0]}"><td class="mark">{_MARK[t.met][1]}</td><td>{_text(t.name)}</td>'
                   f'<td class="number">{_text(t.value)}</td><td class="number">{_text(t.bound)}</td></tr>'
                   for t in targets)
    notes = ''.join(f'<p class="note">{_text(note)}</p>' for note in data['notes'])
    return (f'<section id="verdict" class="{kind}"><h2>{headline}</h2><table><thead><tr><th></th><th>What</th>'
            f'<th class="number">measured</th><th class="number">target</th></tr></thead><tbody>{rows}</tbody></table>'
            f'{notes}</section>')


def _animation(data: dict[str, Any], folder: Path) -> str:
    moving = [f for f in data['figures'] if f['file'].endswith(('.webp', '.gif'))]
    return f'<section id="robot"><h2>The robot</h2>{"".join(_figure(f, folder) for f in moving)}</section>' \
        if moving else ''


def _figures(data: dict[str, Any], folder: Path) -> str:
    still = [f for f in data['figures'] if not f['file'].endswith(('.webp', '.gif'))]
    return f'<section id="figures"><h2>Figures</h2>{"".join(_figure(f, folder) for f in still)}</section>' \
        if still else '<section id="figures"><h2>Figures</h2><p>None yet.</p></section>'


def _figure(figure: dict[str, str], folder: Path) -> str:
    path = folder / figure['file']
    try:
        source = f'data:{_MEDIA[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}'
    except OSError:
        return f'<p class="note">{_text(figure["title"])}: the file {_text(figure["file"])} is missing.</p>'
    return (f'<figure><h3>{_text(figure["title"])}</h3><img src="{source}" alt="{_text(figure["title"])}">'
            f'<figcaption>{_text(figure["caption"])}</figcaption></figure>')


def _stages(data: dict[str, Any]) -> str:
    rows = []
    for name, stage in data['stages'].items():
        seconds = f'{stage["seconds"]:.0f} s' if stage.get('seconds') is not None else ''
        said = stage.get('summary') or stage.get('error') or ''
        rows.append(f'<tr><td>{_text(name)}</td><td><span class="status {_text(stage["status"])}">'
                    f'{_text(stage["status"])}</span></td><td class="number">{seconds}</td><td>{_text(said)}</td></tr>')
    return ('<section id="stages"><h2>Stages</h2><table><thead><tr><th>Stage</th><th>Status</th><th class="number">took'
            f'</th><th>Result</th></tr></thead><tbody>{"".join(rows)}</tbody></table></section>')


def _segments(data: dict[str, Any]) -> str:
    segments = data['stages'].get('deploy', {}).get('run', {}).get('segments', [])
    if not segments:
        return ''
    rows = ''.join(
        f'<tr><td class="number">{s["start"]:.1f} – {s["end"]:.1f}</td><td class="number">{_three(s["command"])}</td>'
        f'<td class="number">{_three([*s["mean_velocity"], s["mean_yaw_rate"]])}</td>'
        f'<td class="number">{_number(s["speed_error"])}</td><td class="number">{_number(s["cycle_speed_error"])}</td>'
        f'<td class="number">{_number(s["yaw_error"])}</td></tr>' for s in segments)
    return ('<section id="segments"><h2>Velocity, command by command</h2><table><thead><tr>'
            '<th class="number">time [s]</th><th class="number">asked vx, vy [m/s], wz [rad/s]</th>'
            '<th class="number">mean measured</th>'
            '<th class="number">speed error [m/s]</th><th class="number">over strides [m/s]</th>'
            f'<th class="number">yaw error [rad/s]</th></tr></thead><tbody>{rows}</tbody></table>'
            '<p class="note">The first second after each change of command is not judged. “Over strides” is the mean '
            'distance between the command and the average of one stride.</p></section>')


def _bounds(data: dict[str, Any]) -> str:
    bounds = data['stages'].get('deploy', {}).get('run', {}).get('bounds', [])
    if not bounds:
        return ''
    rows = ''.join(
        f'<tr class="{"missed" if b["violations"] else "met"}"><td>{_text(b["name"])}</td>'
        f'<td class="number">{b["samples"]}</td><td class="number">{b["violations"]}</td>'
        f'<td class="number">{_number(b["worst_excess"])} {_text(b["unit"])}</td>'
        f'<td>{_text(b["worst_joint"])}</td></tr>'
        for b in bounds)
    return ('<section id="bounds"><h2>Inside the bounds</h2><table><thead><tr><th>Quantity</th>'
            '<th class="number">messages</th><th class="number">outside</th><th class="number">worst</th><th>joint</th>'
            f'</tr></thead><tbody>{rows}</tbody></table><p class="note">Computed from the recorded topics, not from '
            'the shield’s counters. “Worst” is the distance beyond the bound; negative: the least that was left.</p>'
            '</section>')


def _details(data: dict[str, Any]) -> str:
    tables = ''.join(f'<div><h3>{name}</h3><table>{_pairs(data[key])}</table></div>'
                     for name, key in (('Settings', 'settings'), ('Versions', 'versions')))
    return f'<section id="details"><h2>Settings and versions</h2><div class="columns">{tables}</div></section>'


def _pairs(values: dict[str, Any]) -> str:
    return ''.join(f'<tr><td>{_text(key)}</td><td>{_text(value)}</td></tr>' for key, value in values.items())


def _three(values: Sequence[float]) -> str:
    return ', '.join(f'{v:.2f}' for v in values)


def _number(value: float | None) -> str:
    return '–' if value is None else f'{value:.3f}'


def _text(value: Any) -> str:
    return html.escape(str(value))


_STYLE = '''
:root { --ink: #1f2933; --grey: #616e7c; --line: #e4e7eb; --met: #00785a; --missed: #b84300; --open: #7b8794; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7fa; color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 32px 20px 64px; }
header h1 { margin: 0; font-size: 28px; line-height: 1.25; }
header p { margin: 4px 0 20px; color: var(--grey); }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 18px 22px; margin: 0 0 18px; }
section#verdict { border-left: 6px solid var(--open); }
section#verdict.met { border-left-color: var(--met); }
section#verdict.missed { border-left-color: var(--missed); }
h2 { font-size: 19px; margin: 0 0 10px; }
h3 { font-size: 15px; margin: 0 0 6px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--grey); font-weight: 600; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
tbody tr:last-child td { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; padding-left: 14px; }
th.number { white-space: normal; }
.mark { width: 26px; font-weight: 700; }
tr.met .mark { color: var(--met); } tr.missed .mark, tr.missed td.number { color: var(--missed); font-weight: 600; }
tr.open { color: var(--open); }
.status { border-radius: 9px; padding: 1px 9px; font-size: 13px; background: var(--line); }
.status.done { background: #d9f2e9; color: #00573f; } .status.failed { background: #fde3d3; color: #8a3200; }
.status.interrupted { background: #fdf0d0; color: #7a5200; }
.note { color: var(--grey); font-size: 13.5px; margin: 10px 0 0; white-space: pre-line; }
figure { margin: 0 0 26px; } figure:last-child { margin-bottom: 4px; }
figure img { display: block; width: 100%; height: auto; } #robot img { max-width: 640px; margin: 0 auto;
  border-radius: 8px; }
figcaption { color: var(--grey); font-size: 13.5px; margin-top: 6px; }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 28px; }
@media (max-width: 700px) { .columns { grid-template-columns: 1fr; } section { padding: 14px; overflow-x: auto; } }
'''

_PAGE = '''<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main><header><h1>{title}</h1><p>{subtitle}</p></header>
{body}
</main></body></html>
'''
