"""A simulated robot that does not wait, as one that a policy is learnt on: stepped, held, stopped, lost."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import yaml
from rig import TIMEOUT, hanging_robot

from rl_robot_control.bringup.deployment import bring_up_real_time
from rl_robot_control.config import find_config
from rl_robot_control.errors import BackendError, BackendTimeoutError, ConfigurationError
from rl_robot_control.learning.run_folder import RunFolder
from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.real_time_backend import RealTimeBackend, renamed_topics
from rl_robot_control.types import JointCommand

pytestmark = pytest.mark.realtime

PERIOD = 0.04  # of the task joint_servo [s]
ONE = np.arange(1)


@pytest.fixture
def rig(tmp_path):
    with hanging_robot(tmp_path / 'logs', 'servo', control_period=PERIOD) as found:
        yield found


@pytest.fixture
def backend(rig):
    made = RealTimeBackend(load_robot('servo'), PERIOD, domain_id=rig.group.domain.id, connect_timeout=TIMEOUT)
    yield made
    made.close()


def start(backend):
    return backend.reset(backend.robot.default_state(1), ONE)


def go(backend, state, angle=0.0):
    return backend.step(JointCommand(stamp=state.time, position=np.full((1, 1), angle)))


def test_it_is_stepped_held_and_stopped(rig, backend):
    state, times = start(backend), []
    for _ in range(50):
        state = go(backend, state, 0.1)
        times.append(state.time[0])
    assert state.joint_position.shape == (1, 1) and np.isfinite(state.frame_position).all()
    assert np.median(np.diff(times)) == pytest.approx(PERIOD, abs=0.0026)  # states come each 5 ms: to the nearest
    assert backend.applied.shape == (1, 1)

    # The learner thinks: its latest target is repeated, each state answered once, and the shield goes on.
    seen, late = len(rig.commands), backend.late
    rig.operator.wait_until(lambda: len(rig.commands) >= seen + 50, 'it is held', TIMEOUT)
    assert rig.shield_modes[-1] == 'ACTIVE'
    state = go(backend, state, 0.1)
    assert backend.late == late + 1
    assert (np.diff(rig.commands) > 0).all()  # a state that is answered twice would be taken for a replay
    assert abs(state.joint_position[0, 0]) < 0.5

    rig.operator.trigger(interface.EMERGENCY_STOP)
    with pytest.raises(BackendError, match=r'the shield has stopped the robot \(LATCHED: .*call shield/rearm'):
        for _ in range(200):
            state = go(backend, state)
    seen = len(rig.commands)
    rig.operator.wait_until(lambda: rig.shield_modes[-1] == 'LATCHED', 'it has latched', TIMEOUT)
    rig.listen(0.3)
    assert len(rig.commands) <= seen + 1  # one may have been on its way: the robot is let go of


@pytest.mark.parametrize(('name', 'text'), [('simulation', 'joint_states has been silent for 0.5 s'),
                                            ('shield', 'the shield has sent nothing on .*commands for 0.5 s')])
def test_the_death_of_another_process_ends_it(rig, backend, name, text):
    state = go(backend, start(backend))
    rig.group.nodes[name].signal(signal.SIGKILL)
    with pytest.raises(BackendTimeoutError, match=text):
        for _ in range(200):
            state = go(backend, state)
    seen = len(rig.commands)
    rig.listen(0.3)
    assert len(rig.commands) <= seen + 1  # one may have been on its way: where states go on, nothing answers them


def test_who_is_missing_is_named(tmp_path):
    from rl_robot_control.ros.processes import NodeGroup
    with NodeGroup(tmp_path / 'logs') as group:
        backend = RealTimeBackend(load_robot('servo'), PERIOD, domain_id=group.domain.id, connect_timeout=0.3)
        try:
            with pytest.raises(BackendTimeoutError, match='nothing came on joint_states; is the robot running'):
                start(backend)
            with pytest.raises(RuntimeError, match='reset'):
                go(backend, backend.robot.standing_state(1))
        finally:
            backend.close()
            backend.close()


def test_it_learns_between_episodes_and_its_death_brakes_the_robot(rig, tmp_path):
    """Iterations end where episodes of 100 steps do; the first one begins somewhere in the middle."""
    content = yaml.safe_load(find_config('algorithms', 'sac_robot').read_text())
    content['settings'] |= {'warm_up': 50, 'horizon': 50, 'updates': 0.5}
    (tmp_path / 'quick.yaml').write_text(yaml.safe_dump(content))
    run = RunFolder(tmp_path / 'run')
    node = rig.group.start('training', {'robot': 'servo', 'task': 'joint_servo', 'mode': 'realtime',
                                        'budget': 'hardware', 'algorithm': str(tmp_path / 'quick.yaml'),
                                        'out': str(run.path)})
    rig.operator.wait_until(lambda: len(run.metrics()) >= 2 or not node.running(), 'it learns', 3 * TIMEOUT)
    assert node.running(), node.last_words()
    node.signal(signal.SIGKILL)
    rig.wait_for('shield', 'mode', 'BRAKING', 'DAMPING')
    first, second = run.metrics()[:2]
    assert second['steps'] - first['steps'] == 100 and second['n_updates'] > 0
    assert second['robot_minutes'] > second['steps'] * PERIOD / 60
    assert 'LATCHED' not in rig.shield_modes


def test_what_the_command_line_brings_up():
    with bring_up_real_time('servo', 'joint_servo') as backend:
        state = start(backend)
        assert go(backend, state, 0.1).time[0] > state.time[0] and backend.paced


def test_a_controller_that_takes_efforts_is_refused():
    with pytest.raises(ConfigurationError, match="the controller of 'servo' takes efforts"):
        RealTimeBackend(load_robot('servo').with_controller('', 'effort'), PERIOD)


def test_topics_are_renamed_as_the_process_was_told():
    words = ['node', '--ros-args', '-r', '__node:=training', '-r', 'imu:=broadcaster/imu', '--remap', 'odom:=/odom']
    assert renamed_topics(words) == {'imu': 'broadcaster/imu', 'odom': '/odom'}
    with pytest.raises(ConfigurationError, match="'imu' after -r is no remapping"):
        renamed_topics(['-r', 'imu'])
