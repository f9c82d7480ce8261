"""How the demo strings its stages together; the stages themselves run in ``test/ros``."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from rl_robot_control import demo, demo_stages
from rl_robot_control.errors import BackendError, ConfigurationError

pytest.importorskip('rclpy', reason='the demo needs the ROS 2 client library')


@pytest.fixture
def stages(monkeypatch):
    """Stages that only note that they ran; a test puts exceptions in place of their results."""
    ran, results = [], {}

    def stage(name):
        def run(context):
            ran.append(name)
            context.progress('under way', 0.5)
            if isinstance(results.get(name), BaseException):
                raise results[name]
            return {'summary': f'{name} is fine'}
        return run

    monkeypatch.setattr(demo, 'STAGES', {name: stage(name) for name in demo.STAGES})
    return ran, results


def run(folder, **changes):
    """Run the demo; the result and what was printed."""
    console = Console(file=io.StringIO(), width=200)
    return demo.run_demo(folder, console=console, **changes), console.file.getvalue()


def statuses(folder) -> list[str]:
    return [stage['status'] for stage in json.loads((folder / 'report.json').read_text())['stages'].values()]


ALL = ['learn', 'train over topics', 'export', 'deploy', 'report']


def test_all_stages_run_in_order(stages, tmp_path):
    result, said = run(tmp_path / 'demo')
    assert stages[0] == ALL
    assert result.failed == () and not result.interrupted
    assert statuses(tmp_path / 'demo') == ['done'] * 5
    assert f'Report: {tmp_path}/demo/report.html' in said
    assert 'learn is fine' in (tmp_path / 'demo' / 'report.html').read_text()


def test_a_failed_stage_is_reported_and_what_does_not_need_it_goes_on(stages, tmp_path):
    ran, results = stages
    results['train over topics'] = BackendError("topic 'joint_states' is silent")
    result, said = run(tmp_path / 'demo')
    assert ran == ALL
    assert result.failed == ('train over topics',)
    assert statuses(tmp_path / 'demo') == ['done', 'failed', 'done', 'done', 'done']
    assert "train over topics failed: topic 'joint_states' is silent" in said
    assert 'Traceback' not in said
    assert 'topic &#x27;joint_states&#x27; is silent' in result.page.read_text()


def test_what_needs_a_failed_stage_is_left_out(stages, tmp_path):
    ran, results = stages
    results['learn'] = BackendError('no')
    run(tmp_path / 'demo')
    assert ran == ['learn', 'report']
    assert statuses(tmp_path / 'demo') == ['failed', 'pending', 'pending', 'pending', 'done']


def test_a_bug_in_one_stage_does_not_cost_the_report(stages, tmp_path):
    stages[1]['export'] = ZeroDivisionError('bug')
    result, said = run(tmp_path / 'demo')
    assert result.failed == ('export',)
    assert statuses(tmp_path / 'demo') == ['done', 'done', 'failed', 'pending', 'done']
    assert 'ZeroDivisionError' in said


def test_an_interrupt_stops_and_resume_goes_on_where_it_was(stages, tmp_path):
    ran, results = stages
    results['export'] = KeyboardInterrupt()
    result, said = run(tmp_path / 'demo')
    assert result.interrupted
    assert ran == ['learn', 'train over topics', 'export', 'report']
    assert f'rl_robot_control demo --out {tmp_path}/demo --resume' in said
    ran.clear()
    results.clear()
    result, _ = run(tmp_path / 'demo', resume=True)
    assert ran == ['export', 'deploy', 'report']
    assert statuses(tmp_path / 'demo') == ['done'] * 5


def test_an_occupied_folder_is_refused(stages, tmp_path):
    (tmp_path / 'precious.txt').write_text('mine')
    with pytest.raises(ConfigurationError, match=r'is not empty; go on with the demo in it with --resume'):
        run(tmp_path)
    with pytest.raises(ConfigurationError, match=r'holds no demo to resume'):
        run(tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ['precious.txt']
    assert stages[0] == []


def test_a_demo_is_not_resumed_with_other_settings(stages, tmp_path):
    run(tmp_path / 'demo', seed=1)
    with pytest.raises(ConfigurationError, match=r'was started with seed=1, not 2'):
        run(tmp_path / 'demo', seed=2, resume=True)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'robot': 'unitree_g2'}, "unknown robot 'unitree_g2'; did you mean 'unitree_g1'?"),
    ({'task': 'wlak'}, "unknown task 'wlak'; did you mean 'walk'?"),
    ({'profile': 'forwards:8'}, "unknown command 'forwards'"),
])
def test_wrong_names_are_found_before_anything_is_written(stages, tmp_path, changes, message):
    with pytest.raises(ConfigurationError) as error:
        run(tmp_path / 'demo', **changes)
    assert message in str(error.value)
    assert not (tmp_path / 'demo').exists()


def test_a_narrow_terminal_shows_times_and_results_whole(stages, tmp_path):
    console = Console(file=io.StringIO(), width=80)
    demo.run_demo(tmp_path / 'demo', console=console)
    [line] = [line for line in console.file.getvalue().splitlines() if 'train over topics is fine' in line]
    assert re.search(r'train over topics .* 0:00:00 train over topics is fine', line)


def test_learning_that_was_cut_short_says_how_much_longer_it_needs():
    # 4 minutes for half of the steps: 8 for all, and a tenth more, rounded up
    remark = demo_stages.cut_short({'steps': 1_500_000, 'total_steps': 3_000_000, 'minutes': 4.0})
    assert '1.50 of 3.00 million steps' in remark
    assert remark.endswith('demo --minutes 9')
    assert demo_stages.cut_short({'steps': 3_000_000, 'total_steps': 3_000_000, 'minutes': 3.1}) == ''
    assert demo_stages.cut_short({'status': 'failed'}) == ''
