"""The supervisor as a process that watches a real shield; and how it talks to ros2_control."""

from __future__ import annotations

import importlib.util
import signal
from types import SimpleNamespace

import pytest
from rclpy.task import Future
from std_srvs.srv import Trigger

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import CommandCodec
from rl_robot_control.ros.robot_side import (
    ControllerSwitch,
    HardwareComponent,
    OwnTimeout,
    controller_switch,
)
from rl_robot_control.ros.supervision import Watch

pytestmark = pytest.mark.realtime

TIMEOUT = 20.0  # for anything that must happen, on a loaded machine [s]


class Rig:
    """Simulation on the gantry, shield and supervisor; this process is the policy."""

    def __init__(self, group, operator, robot):
        self.group, self.operator, self.robot = group, operator, robot
        for name, parameters in (('simulation', {'hold_until_command': True}), ('shield', {}), ('supervisor', {})):
            group.start(name, {'robot': robot.name, **parameters})
        self.commanding, self._count = True, 0
        self._codec, self._policy = CommandCodec(robot), interface.POLICY_COMMAND.publisher(operator.node)
        interface.JOINT_STATES.subscription(operator.node, self._on_state)
        self.wait('supervisor', 'state', 'WATCHING')
        self.wait('shield', 'mode', 'ACTIVE')

    def _on_state(self, message):
        self._count += 1
        if self.commanding and self._count % 4 == 0:  # 200 Hz → 50 Hz
            self._policy.publish(self._codec.encode(self.robot.default_position, message.header.stamp))

    def wait(self, name, key, value):
        self.operator.wait_until(lambda: self.operator.value(name, key) == value, f'{name}: {key} is {value}', TIMEOUT)

    def trigger(self, service):
        return self.operator.call(Trigger, service.name, Trigger.Request(), 5.0)

    def released(self, service):
        self.operator.wait_until(lambda: self.trigger(service).success, f'{service.name} is granted', TIMEOUT)


def test_a_shield_that_hangs_and_one_that_dies(group, operator, g1):
    rig = Rig(group, operator, g1)
    shield = group.nodes['shield']
    assert rig.trigger(interface.SUPERVISOR_RELEASE).message == 'nothing has tripped.'

    shield.signal(signal.SIGSTOP)
    rig.wait('supervisor', 'state', 'TRIPPED')
    rig.wait('supervisor', 'robot safe', 'yes')
    assert operator.value('simulation', 'drives') == 'damped'
    operator.wait_until(lambda: rig.trigger(interface.SUPERVISOR_RELEASE).message == 'no shield is heard; start it.',
                        'its latest heartbeats have aged, and it is not released', TIMEOUT)
    shield.signal(signal.SIGCONT)
    rig.wait('shield', 'mode', 'LATCHED')  # nobody moves the robot before an operator says so
    assert operator.value('supervisor', 'state') == 'TRIPPED'
    operator.wait_until(lambda: 'the heartbeat says stop' in rig.trigger(interface.REARM).message, 'heard', TIMEOUT)
    rig.released(interface.SUPERVISOR_RELEASE)
    rig.released(interface.REARM)
    rig.wait('shield', 'mode', 'ACTIVE')

    group.nodes.pop('shield')
    shield.signal(signal.SIGKILL)
    shield.process.wait(5)
    rig.wait('supervisor', 'state', 'TRIPPED')
    rig.wait('supervisor', 'robot safe', 'yes')
    operator.forget('shield')
    group.start('shield', {'robot': g1.name})
    rig.wait('shield', 'mode', 'LATCHED')  # the new one, too
    rig.released(interface.SUPERVISOR_RELEASE)
    rig.released(interface.REARM)
    rig.wait('shield', 'mode', 'ACTIVE')
    assert operator.value('supervisor', 'trips') == '2'
    assert group.nodes['supervisor'].log.read_text().count('making the robot safe') == 2


def test_silence_trips_once_it_lasts():
    watch = Watch(timeout=0.15, period=0.01)
    assert not watch.overdue(5.0)  # never heard: not yet a death
    watch.beat(6.0)
    assert [watch.overdue(6.0 + 0.01 * k) for k in (1, 14, 16, 17)] == [False, False, True, True]


def test_a_shield_that_starts_may_stumble():
    watch = Watch(timeout=0.15, period=0.01)
    watch.beat(1.0, at_stake=False)
    assert not watch.watching and not watch.overdue(1.4)
    for k in range(6):  # from 2.0 on; half a second without a gap has passed at 2.5
        assert not watch.watching
        watch.beat(2.0 + 0.1 * k, at_stake=False)
    assert watch.watching and watch.longest_gap == 0.0
    assert not watch.overdue(2.65) and watch.overdue(2.66)
    moves = Watch(timeout=0.15, period=0.01)
    moves.beat(1.0, at_stake=True)
    assert moves.watching and moves.overdue(1.16)


def test_a_starved_watchman_reads_his_mail_first():
    watch = Watch(timeout=0.15, period=0.01)
    watch.beat(1.0)
    watch.overdue(1.01)
    assert not watch.overdue(1.5)  # kept from running: the mail comes first
    watch.beat(1.505)
    assert not watch.overdue(1.51)
    assert not watch.overdue(2.0)
    assert watch.overdue(2.01)  # there was none
    assert not watch.overdue(3.0)
    assert watch.overdue(4.0)  # nobody may be late for ever
    assert watch.longest_gap == pytest.approx(0.505)


def test_a_robot_with_its_own_time_out_confirms_by_what_it_says():
    side = OwnTimeout()
    assert side.confirmed()
    side.make_safe(1.0)
    assert not side.confirmed()
    side.drives = 'damped'
    assert side.confirmed()


class Manager:
    """Stands in for the client of ros2_control's controller manager, whose messages have no wheel."""

    def __init__(self):
        self.ready, self.requests, self.futures = True, [], []

    def service_is_ready(self):
        return self.ready

    def call_async(self, request):
        self.requests.append(request)
        self.futures.append(Future())
        return self.futures[-1]

    def remove_pending_request(self, future):
        future.cancel()

    def answer(self, ok):
        self.futures[-1].set_result(SimpleNamespace(ok=ok))


def request():
    """The fields of controller_manager_msgs/srv/SwitchController's request that are used."""
    return SimpleNamespace(activate_controllers=[], deactivate_controllers=[], strictness=0, activate_asap=False,
                           timeout=SimpleNamespace(sec=0, nanosec=0))


def switch(damping='damper'):
    manager = Manager()
    return manager, ControllerSwitch(manager, request, ['legs', 'arms'], damping, timeout=1.5)


def test_controllers_are_switched_and_switched_back():
    manager, side = switch()
    side.make_safe(0.0)
    sent = manager.requests[-1]
    assert (sent.activate_controllers, sent.deactivate_controllers) == (['damper'], ['legs', 'arms'])
    assert (sent.strictness, sent.activate_asap, sent.timeout.sec, sent.timeout.nanosec) == (1, True, 1, 500_000_000)
    assert not side.confirmed()
    manager.answer(True)
    side.tick(0.1)
    assert side.confirmed() and side.describe() == 'deactivate legs, arms; activate damper: done'
    side.restore(0.2)
    assert (manager.requests[-1].activate_controllers, manager.requests[-1].deactivate_controllers) == (
        ['legs', 'arms'], ['damper'])


def component_request():
    """The fields of controller_manager_msgs/srv/SetHardwareComponentState's request that are used."""
    return SimpleNamespace(name='', target_state=SimpleNamespace(label=''))


def test_the_hardware_is_deactivated_after_its_controllers_and_activated_before():
    manager, hardware = Manager(), Manager()
    side = ControllerSwitch(manager, request, ['legs'], '', 1.5, HardwareComponent(hardware, component_request, 'g1'))
    side.make_safe(0.0)
    assert len(manager.requests) == 1 and hardware.requests == []
    manager.answer(True)
    side.tick(0.1)
    asked = hardware.requests[-1]
    assert (asked.name, asked.target_state.label) == ('g1', 'inactive') and not side.confirmed()
    hardware.answer(False)
    side.tick(0.2)
    assert 'refused to deactivate hardware g1' in side.describe() and len(hardware.requests) == 2  # asked again
    hardware.answer(True)
    side.tick(0.3)
    assert side.confirmed() and side.describe() == 'deactivate legs; deactivate hardware g1: done'
    side.restore(0.4)
    assert hardware.requests[-1].target_state.label == 'active' and len(manager.requests) == 1
    hardware.answer(True)
    side.tick(0.5)
    assert manager.requests[-1].activate_controllers == ['legs']


def test_without_its_damping_twin_a_controller_stops_all_the_same():
    manager, side = switch()
    side.make_safe(0.0)
    manager.answer(False)
    side.tick(0.1)
    assert (manager.requests[-1].activate_controllers, manager.requests[-1].deactivate_controllers) == (
        [], ['legs', 'arms'])
    manager.answer(True)
    side.tick(0.2)
    assert side.confirmed()


def test_a_silent_controller_manager_is_asked_again():
    manager, side = switch(damping='')
    manager.ready = False
    assert side.describe() == 'no controller manager: the robot cannot be made safe'
    side.make_safe(0.0)
    assert manager.requests == [] and not side.confirmed()
    manager.ready = True
    side.tick(0.1)
    side.tick(1.5)
    assert len(manager.requests) == 1
    side.tick(1.7)  # 1.6 s after the request
    assert len(manager.requests) == 2 and manager.futures[0].cancelled()
    assert 'has not answered within 1.5 s' in side.describe()
    manager.answer(True)
    side.tick(1.8)
    assert side.confirmed()


@pytest.mark.skipif(importlib.util.find_spec('controller_manager_msgs') is not None, reason='they are installed')
def test_missing_messages_are_named():
    with pytest.raises(ConfigurationError, match='sudo apt install ros-.*controller-manager-msgs'):
        controller_switch(None, 'controller_manager', ['legs'], '', 1.0)


@pytest.mark.skipif(importlib.util.find_spec('controller_manager_msgs') is None,
                    reason='controller_manager_msgs comes with ros2_control; pip has no wheel of it')
def test_a_real_switch_over_dds(group, operator, g1):
    from controller_manager_msgs.srv import SwitchController
    seen = []

    def serve(message, response):
        seen.append(message)
        response.ok = True
        return response

    operator.node.create_service(SwitchController, 'controller_manager/switch_controller', serve)
    group.start('shield', {'robot': g1.name})
    group.start('supervisor', {'robot': g1.name, 'robot_side': 'ros2_control'})
    operator.wait_until(lambda: operator.value('supervisor', 'robot') == 'controller manager found'
                        and operator.value('supervisor', 'state') == 'WATCHING', 'both are found', TIMEOUT)
    group.nodes['shield'].signal(signal.SIGSTOP)
    operator.wait_until(lambda: operator.value('supervisor', 'robot safe') == 'yes', 'switched', TIMEOUT)
    assert seen[0].deactivate_controllers == [g1.settings.topics.controller]
