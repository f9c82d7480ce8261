"""Where limits come from, and which ones are refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import load_robot
from rl_robot_control.shield import Shield, ShieldLimits, ShieldMode
from rl_robot_control.shield.state_machine import TRANSITIONS

from .rig import make_limits

URDF = """<robot name="mini">
  <link name="base"/><link name="a"/><link name="b"/><link name="c"/>
  <joint name="long" type="revolute"><parent link="base"/><child link="a"/>
    <limit lower="-1" upper="4" velocity="10" effort="20"/></joint>
  <joint name="short" type="revolute"><parent link="a"/><child link="b"/>
    <limit lower="-0.2" upper="0.8" velocity="5" effort="8"/></joint>
  <joint name="wheel" type="continuous"><parent link="b"/><child link="c"/>
    <limit velocity="3" effort="2"/></joint>
</robot>"""
YAML = """name: mini
urdf: {urdf}
base: {{kind: {kind}, link: base}}
joints:
  .*: {{stiffness: 40, damping: 2, acceleration_limit: 30}}
shield: {shield}
"""


def mini(tmp_path, kind='floating', shield='{}') -> ShieldLimits:
    (tmp_path / 'mini.urdf').write_text(URDF)
    (tmp_path / 'mini.yaml').write_text(YAML.format(urdf=tmp_path / 'mini.urdf', kind=kind, shield=shield))
    return ShieldLimits.from_robot(load_robot(str(tmp_path / 'mini.yaml')))


def test_defaults_reduce_the_urdf(tmp_path):
    limits = mini(tmp_path)
    # margins: min(0.05, 2 % of 5) = 0.05; min(0.05, 2 % of 1) = 0.02; none for a continuous joint
    np.testing.assert_allclose(limits.position_lower, [-0.95, -0.18, -np.inf])
    np.testing.assert_allclose(limits.position_upper, [3.95, 0.78, np.inf])
    np.testing.assert_allclose(limits.velocity, [8.0, 4.0, 2.4])  # 0.8 of the URDF's
    np.testing.assert_allclose(limits.effort, [18.0, 7.2, 1.8])  # 0.9 of the URDF's
    np.testing.assert_allclose(limits.acceleration, [30.0] * 3)
    assert (limits.tilt, limits.tilt_duration) == (1.0, 0.04)
    assert limits.sources['velocity'] == 'URDF × 0.8 (default)' and limits.sources['command_timeout'] == 'default'
    assert limits.sources['acceleration'] == 'robot YAML (mini)'


def test_the_robots_yaml_overrides(tmp_path):
    own = '{position_margin: 0.1, velocity_fraction: 0.5, effort_fraction: 1.0, tilt_limit: 0.6}'
    limits = mini(tmp_path, shield=own)
    np.testing.assert_allclose(limits.position_lower, [-0.9, -0.1, -np.inf])
    np.testing.assert_allclose(limits.velocity, [5.0, 2.5, 1.5])
    np.testing.assert_allclose(limits.effort, [20.0, 8.0, 2.0])
    assert limits.tilt == 0.6 and limits.sources['tilt'] == 'robot YAML (mini)'


def test_a_fixed_base_has_no_tilt(tmp_path):
    assert mini(tmp_path, kind='fixed').tilt is None


def test_a_margin_that_leaves_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r'joint 1 may move from 0.39+7 to 0.20+7 rad.*Reduce position_margin'):
        mini(tmp_path, shield='{position_margin: 0.6}')


def test_a_margin_that_widens_the_limits_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match='position_margin is -0.1 rad; it must be 0 or more'):
        mini(tmp_path, shield='{position_margin: -0.1}')


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(velocity=[1.0, 0.0]), 'velocity of joint 1 is 0.0; it must be finite and above 0'),
    (dict(stiffness=[0.0, 1.0]), 'stiffness of joint 0 is 0.0; it must be finite and above 0'),
    (dict(acceleration=[1.0, np.nan]), 'acceleration of joint 1 is nan; it must be finite and above 0'),
    (dict(effort=[np.inf, 1.0]), 'effort of joint 0 is inf; it must be finite and above 0'),
    (dict(damping=[-1.0, 1.0]), 'damping of joint 0 is -1.0; it must be finite and 0 or more'),
    (dict(position_lower=[0.0, np.nan]), 'joint 1 may move from nan to 1.0 rad'),
    (dict(command_timeout=np.nan), 'command_timeout is nan; it must be a finite number, 0 or more')])
def test_limits_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        make_limits(**changes)


@pytest.mark.parametrize(('period', 'longest'), [(0.0, None), (-0.02, None), (np.nan, None), (0.02, 0.01),
                                                 (0.02, np.inf)])
def test_periods_that_make_no_sense_are_refused(period, longest):
    with pytest.raises(ConfigurationError, match='control_period'):
        Shield(make_limits(), period, 1, longest)


def test_the_documented_transitions_are_the_ones_in_force():
    text = (Path(__file__).parents[3] / 'docs' / 'safety.md').read_text()
    rows = [re.findall(r'\w+', line) for line in text.splitlines()]
    documented = {row[0]: tuple(row[1:]) for row in rows if len(row) == 6 and row[0] in ShieldMode.__members__}
    assert documented == {mode.name: tuple(m.name for m in modes) for mode, modes in TRANSITIONS.items()}
