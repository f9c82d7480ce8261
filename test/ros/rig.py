"""A simulated G1 behind its shield in real time, with an operator beside it, for tests."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray

from rl_robot_control.errors import BackendTimeoutError
from rl_robot_control.ros import interface
from rl_robot_control.ros.processes import NodeGroup, NodeProcess
from rl_robot_control.ros.robot_operator import Operator

TIMEOUT = 20.0  # for anything that must happen, on a loaded machine [s]


@dataclasses.dataclass
class Rig:
    """The processes and the operator."""

    group: NodeGroup
    operator: Operator
    shield_modes: list[str]  # in the order in which they were entered
    commands: list[float]  # stamps of policy/command [s]

    def start_inference(self, **parameters) -> NodeProcess:
        """Start an inference node; stop it with ``group.stop('inference')``."""
        self.operator.forget('inference')
        return self.group.start('inference', parameters)

    def run_policy(self, policy: Path) -> NodeProcess:
        """Start an inference node and wait until its policy runs."""
        node = self.start_inference(policy=str(policy))
        assert self.operator.change_state('inference', 'configure', TIMEOUT), node.last_words()
        self.wait_for('inference', 'robot heard', 'yes')
        assert self.operator.change_state('inference', 'activate', TIMEOUT), node.last_words()
        self.wait_for('inference', 'phase', 'running')
        return node

    def wait_for(self, name: str, key: str, *values: str) -> None:
        """Wait until a diagnostic value is one of those given."""
        what = f'{name}: {key} is {values}'
        try:
            self.operator.wait_until(lambda: self.operator.value(name, key) in values, what, TIMEOUT)
        except BackendTimeoutError as error:
            words = self.group.nodes[name].last_words() if name in self.group.nodes else ''
            raise BackendTimeoutError(f'{error} It says {self.operator.values(name)}; {words}') from None

    def listen(self, seconds: float) -> None:
        """Let time pass while listening, to see that something does not happen."""
        end = time.monotonic() + seconds
        self.operator.wait_until(lambda: time.monotonic() > end, 'time passes', seconds + 10)


@contextmanager
def hanging_robot(log_directory: Path, robot: str = 'unitree_g1', **shield) -> Iterator[Rig]:
    """A robot, on its gantry if it is a humanoid, simulated in real time, behind its shield with further parameters."""
    with NodeGroup(log_directory) as group:
        group.start('simulation', {'robot': robot, 'hold_until_command': True})
        group.start('shield', {'robot': robot, **shield})
        with Operator(group.domain.id) as operator:
            rig = Rig(group, operator, [], [])

            def on_status(message: DiagnosticArray) -> None:
                mode = {pair.key: pair.value for pair in message.status[0].values}['mode']
                if rig.shield_modes[-1:] != [mode]:
                    rig.shield_modes.append(mode)

            interface.SHIELD_STATUS.subscription(operator.node, on_status)
            interface.POLICY_COMMAND.subscription(operator.node, lambda message: rig.commands.append(
                message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec))
            rig.wait_for('shield', 'mode', 'READY')
            yield rig
