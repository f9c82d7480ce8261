"""The report's files and figures, made from a recording by hand."""

from __future__ import annotations

import html.parser
import json

import numpy as np
import pytest

from rl_robot_control.report import compose, video
from rl_robot_control.report.checks import summarise
from rl_robot_control.report.figures import Curve, smooth
from rl_robot_control.report.page import Picture, Report, finite
from rl_robot_control.report.verdict import judge
from rl_robot_control.shield.limits import ShieldLimits

from .hand_made import PERIOD, make_recording

STAGES = ('learn', 'train over topics', 'export', 'deploy', 'report')


class Tags(html.parser.HTMLParser):
    """Collects ids and images, and checks that tags close in order."""

    VOID = {'meta', 'img', 'link', 'br'}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.images, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values['id']] if 'id' in values else []
        self.images += [values['src']] if tag == 'img' else []
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def report(tmp_path):
    return Report(tmp_path / 'out', title='A <robot> & its walk', subtitle='by hand', settings={'seed': 1},
                  versions={'python': '3'}, stages=STAGES)


def test_a_fresh_report_has_everything_open(report):
    page = report.write()
    data = json.loads((page.parent / 'report.json').read_text())
    assert data['passed'] is None
    assert [stage['status'] for stage in data['stages'].values()] == ['pending'] * 5
    assert all(target['met'] is None for target in data['targets'])
    text = page.read_text()
    assert 'A &lt;robot&gt; &amp; its walk' in text
    assert {'verdict', 'stages', 'figures', 'details'} <= set(Tags(text).ids)


def test_a_run_fills_every_section(report, robot, tmp_path):
    limits, recording = ShieldLimits.from_robot(robot), make_recording(robot, seconds=22.1, speed=0.5)
    report.stage('deploy').update(status='done', seconds=25.0, run=summarise(recording, robot, limits, PERIOD))
    report.stage('export').update(status='done', evaluation={'episodes': 50, 'falls': 1, 'mean_speed_error': 0.05})
    compose.add_run_figures(report, recording, robot, limits, PERIOD)
    steps = np.linspace(0, 1e6, 50)
    compose.add_learning_curve(report, [Curve(label='in memory', steps=steps, returns=steps / 1e5)], 9.0, 10.0)
    page = report.write()
    tags = Tags(page.read_text())
    assert {'verdict', 'stages', 'figures', 'segments', 'bounds', 'details'} <= set(tags.ids)
    assert len(tags.images) == 5
    assert all(source.startswith('data:image/png;base64,iVBOR') for source in tags.images)  # a PNG's first bytes
    data = json.loads((page.parent / 'report.json').read_text())
    met = {target['name']: target['met'] for target in data['targets']}
    assert met == {'In memory: episodes of 50 without a fall': True, 'In memory: mean speed error at 0.6 m/s': True,
                   'Over ROS: walks without a fall': True, 'Over ROS: mean speed error while walking forward': True,
                   'Over ROS: commanded position outside the shield’s bounds': True,
                   'Over ROS: commanded overshoot outside the shield’s bounds': True,
                   'Over ROS: reference velocity outside the shield’s bounds': True,
                   'Over ROS: implied torque outside the shield’s bounds': True,
                   'Over ROS: measured position outside the URDF’s limits': True,
                   'Over ROS: measured velocity outside the URDF’s limits': True, 'Whole demo on 2 cores': None}
    assert data['stages']['deploy']['run']['mean_speed_error'] == pytest.approx(0.1)
    assert list(page.parent.glob('.*')) == []  # no half-written file stays


def test_targets_can_be_missed():
    run = {'fell': True, 'fall_time': 3.2, 'mean_speed_error': 0.21,
           'bounds': [{'name': 'implied torque', 'samples': 10, 'violations': 1}]}
    missed = {target.name: target.value for target in judge({'deploy': {'run': run}}) if target.met is False}
    assert missed == {'Over ROS: walks without a fall': 'fell after 3.2 s',
                      'Over ROS: mean speed error while walking forward': '0.210 m/s',
                      'Over ROS: implied torque outside the shield’s bounds': '1 in 10 messages'}


def test_the_time_of_all_stages_is_judged():
    def verdict(seconds: float):
        return judge({name: {'status': 'done', 'seconds': seconds} for name in STAGES})[-1]
    assert verdict(72.0).met is True  # 5 · 72 s = 360 s
    assert verdict(73.0).met is False


def test_json_holds_no_number_that_json_does_not_know():
    value = {'a': float('nan'), 'b': [np.float64('inf'), np.int64(3)], 'c': (np.bool_(True), 'text')}
    assert finite(value) == {'a': None, 'b': [None, 3], 'c': [True, 'text']}


def test_a_report_is_loaded_again(report):
    report.stage('learn').update(status='done', summary='fine')
    report.write()
    again = Report.load(report.folder)
    assert again.stage('learn') == {'status': 'done', 'summary': 'fine'}
    again.write()
    assert Report.load(report.folder / 'nowhere') is None
    (report.folder / 'report.json').write_text('{"format_version": 1, "ti')
    assert Report.load(report.folder) is None


def test_a_missing_picture_is_said_and_the_page_still_written(report):
    report.add_figure(Picture(file='gone.png', title='Gone', caption=''))
    assert 'the file gone.png is missing' in report.write().read_text()


def test_what_cannot_be_drawn_becomes_a_note(report, robot):
    from rl_robot_control.report.recording import Recording
    empty = Recording(robot=robot.name, joint_names=robot.joint_names)
    compose.add_run_figures(report, empty, robot, ShieldLimits.from_robot(robot), PERIOD)
    compose.add_pictures(report, empty, robot)
    compose.add_learning_curve(report, [], None, None)
    assert report.data['figures'] == []
    assert [note.split(':')[0] for note in report.data['notes']] == [
        'Velocity', 'Joint positions inside their limits', 'Shield corrections', 'Loop timing',
        'the recording holds no joint states or no odometry, so there is nothing to draw.', 'Learning curve']


def test_without_opengl_the_report_says_what_to_install(report, robot, monkeypatch):
    monkeypatch.setattr(video, 'DRIVERS', ('none_such',))
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    compose.add_pictures(report, make_recording(robot, seconds=1.0), robot)
    [note] = report.data['notes']
    assert 'apt-get install libegl1 libgl1-mesa-dri' in note
    assert 'none_such' in note
    assert report.data['figures'] == []
    assert note.replace("'", '&#x27;') in report.write().read_text()


def test_curve_is_read_from_a_file_that_a_kill_cut(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    path.write_text('{"steps": 10, "mean_return": NaN}\n{"steps": 20, "mean_return": 1.5}\n{"steps": 30, "mean')
    curve = compose.read_curve(path, 'in memory', 'steps', 'mean_return')
    np.testing.assert_array_equal(curve.steps, [20])  # no return is known before the first episode ends
    np.testing.assert_array_equal(curve.returns, [1.5])
    assert len(compose.read_curve(tmp_path / 'none.jsonl', '', 'steps', 'mean_return').steps) == 0


def test_smooth_keeps_a_line_and_shortens_its_window_at_the_ends():
    # 5 % of 40 values: one neighbour on each side; at the ends the mean of two
    np.testing.assert_allclose(smooth(np.arange(40.0)), [0.5, *range(1, 39), 38.5])
