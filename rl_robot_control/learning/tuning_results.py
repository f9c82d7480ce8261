"""What a search found, as files: the best algorithm, a table of the trials, and a picture of what mattered."""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt  # noqa: E402
import optuna  # noqa: E402
import yaml  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.ticker import PercentFormatter  # noqa: E402
from optuna.trial import FrozenTrial, TrialState  # noqa: E402

from rl_robot_control.config import to_plain  # noqa: E402
from rl_robot_control.files import replacing, write_whole  # noqa: E402
from rl_robot_control.learning.tuning_space import Plan  # noqa: E402

BEST, TABLE, PICTURE = 'best.yaml', 'trials.csv', 'importance.png'
LEAST_TRIALS = 10  # that were scored, below which importances are noise
BLUE, ORANGE, RED = '#0072B2', '#E69F00', '#D55E00'  # Okabe and Ito: colour-blind readers tell them apart
INK, GREY, FAINT = '#1f2933', '#7b8794', '#e4e7eb'
_LOOK = {
    'font.size': 10, 'axes.titlesize': 11, 'axes.titleweight': 'bold', 'axes.titlelocation': 'left',
    'axes.labelcolor': INK, 'text.color': INK, 'axes.edgecolor': GREY, 'xtick.color': INK, 'ytick.color': INK,
    'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True, 'grid.color': FAINT,
    'axes.axisbelow': True, 'legend.frameon': False, 'legend.fontsize': 9, 'savefig.dpi': 140,
}


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that were scored, pruned or diverged; those that were interrupted are run again."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def outcome(trial: FrozenTrial) -> str:
    """How a trial ended: ``complete``, ``pruned``, ``failed``, ``interrupted`` or ``running``."""
    if 'failure' in trial.user_attrs:
        return 'failed'
    return {TrialState.COMPLETE: 'complete', TrialState.PRUNED: 'pruned', TrialState.FAIL: 'interrupted'}.get(
        trial.state, 'running')


def scored(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that came to their end and have a value."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def write_tables(plan: Plan, study: optuna.Study, folder: Path) -> None:
    """Write ``best.yaml``, if a trial was scored, and ``trials.csv``."""
    if scored(study):
        write_whole(folder / BEST, _best(plan, study).encode())
    write_whole(folder / TABLE, _table(plan, study).encode())


def _best(plan: Plan, study: optuna.Study) -> str:
    """A whole algorithm file, with where it comes from."""
    best = study.best_trial
    file = plan.algorithm_file(best.user_attrs['values'], f'{plan.base.name}_tuned')
    origin = (f"# The best of {len(ended(study))} trials of `tune` for {plan.robot}, {plan.task}: trial {best.number}, "
              f'mean return {best.value:.4g}\n# of the policy without exploration, after {plan.steps:,} steps'
              + (f', over {plan.seeds} seeds.\n' if plan.seeds > 1 else '.\n'))
    return origin + yaml.safe_dump(to_plain(file), sort_keys=False, default_flow_style=None, width=110)


def _table(plan: Plan, study: optuna.Study) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['trial', 'outcome', 'mean_return', 'success_rate', 'steps', 'seconds', *plan.tuning.space,
                     'failure'])
    for trial in study.get_trials(deepcopy=False):
        given, seconds = trial.user_attrs, trial.duration.total_seconds() if trial.duration else None
        values = given.get('values', {})
        writer.writerow([
            trial.number, outcome(trial), trial.value if trial.state == TrialState.COMPLETE else None,
            given.get('success_rate'), given.get('steps'), None if seconds is None else round(seconds, 2),
            *(_cell(values.get(name)) for name in plan.tuning.space), given.get('failure')])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict, bool)) else value


def draw(plan: Plan, study: optuna.Study, path: Path) -> None:
    """Draw the trials' values in their order, and beside them how much each hyper-parameter mattered.

    Args:
        plan: The study's.
        study: The trials.
        path: PNG to write.
    """
    with plt.rc_context(_LOOK), replacing(path) as temporary:
        drawn, (left, right) = plt.subplots(1, 2, figsize=(11.0, 4.4), width_ratios=[3, 2], layout='constrained')
        try:
            drawn.suptitle(f'{plan.base.name} on {Path(plan.task).stem}, {Path(plan.robot).stem}: '
                           f'{len(ended(study))} trials of {plan.steps * plan.seeds:,} steps', x=0.01, ha='left',
                           fontsize=12, fontweight='bold')
            _history(left, study)
            _importances(right, study)
            drawn.savefig(temporary)
        finally:
            plt.close(drawn)


def _history(axes: Axes, study: optuna.Study) -> None:
    """Score of each trial and the best so far; trials without a score stand as marks along the lower edge."""
    axes.set(title='Score of each trial', xlabel='trial', ylabel='mean return of the final policy')
    complete = scored(study)
    if complete:
        numbers, values = [trial.number for trial in complete], [trial.value for trial in complete]
        best = study.best_trial
        last = max(trial.number for trial in study.get_trials(deepcopy=False))
        highest = [max(values[:i + 1]) for i in range(len(values))]
        axes.step([*numbers, last], [*highest, highest[-1]], where='post', color=ORANGE, label='best so far')
        axes.plot(numbers, values, 'o', color=BLUE, markersize=5, label='scored')
        axes.plot(best.number, best.value, 'o', color=ORANGE, markersize=10, markeredgecolor=INK,
                  label=f'best: trial {best.number}, {best.value:.4g}')
    for kind, mark, colour in (('pruned', '|', GREY), ('failed', 'x', RED)):
        found = [trial.number for trial in ended(study) if outcome(trial) == kind]
        if found:
            axes.plot(found, [0.015] * len(found), mark, color=colour, transform=axes.get_xaxis_transform(),
                      markersize=9, markeredgewidth=1.8, clip_on=False, label=f'{kind} ({len(found)})')
    axes.xaxis.get_major_locator().set_params(integer=True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.14), ncols=5, handletextpad=0.4, columnspacing=1.2)
    if not complete:
        _say(axes, 'No trial was scored.')


def _importances(axes: Axes, study: optuna.Study) -> None:
    complete = len(scored(study))
    axes.set_title('What mattered for good scores')
    if complete < LEAST_TRIALS:
        _say(axes, f'{complete} scored {"trial is" if complete == 1 else "trials are"} too few to tell\nwhat mattered; '
                   f'it takes {LEAST_TRIALS} or more.')
        return
    shares = importances(study)
    names = list(reversed(shares))
    axes.barh([name.replace('_', ' ') for name in names], [shares[name] for name in names], color=BLUE, height=0.65)
    for i, name in enumerate(names):
        axes.text(shares[name], i, f' {shares[name]:.0%}', va='center', color=GREY, fontsize=9)
    axes.set(xlim=(0, 1.12 * max(shares.values())), xlabel=f'share of importance (PED-ANOVA, {complete} scored trials)')
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis='y', visible=False)
    axes.tick_params(axis='y', length=0)


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of each hyper-parameter in what sets the best trials apart, the largest first; they add up to one.

    PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255), which needs no forests and so no scikit-learn.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that it is experimental, and that a split is degenerate
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _say(axes: Axes, text: str) -> None:
    """Words in a picture's place."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha='center', va='center', color=GREY, fontsize=11)
