"""Training node: learns over topics, with the robot and the shield in other processes.

It runs the same trainer as training in memory, with one robot. An interrupt (Ctrl-C, SIGTERM) keeps the checkpoint;
``resume: true`` goes on from it; SIGUSR1 pauses, and again goes on.

``mode: lockstep``: a simulation that advances with each command, however long the learner thinks. ``mode: realtime``: a
robot, real or simulated, whose base is held or fixed and which goes on meanwhile; it is held while the learner learns,
between episodes (``ros/real_time_backend.py``). That needs ``budget: hardware``.

Publishes: ``policy/command``, ``training/status`` (progress, about once a second), and ``goal`` where the task has a
target.
Subscribes: ``joint_states``, ``imu``, ``<controller>/commands``; in lock-step also ``odom`` and ``contacts/<frame>``,
in real time ``shield/status``.
Calls: in lock-step ``simulation/reset``, ``simulation/set_parameters_atomically``, ``shield/reset``.
"""

from __future__ import annotations

import dataclasses
import math
import signal
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from rl_robot_control.errors import ConfigurationError, RobotControlError
from rl_robot_control.learning.settings import TrainingSettings
from rl_robot_control.learning.trainer import Progress, TrainingResult, train
from rl_robot_control.ros import interface
from rl_robot_control.ros.backend import RosBackend
from rl_robot_control.ros.diagnostics import own_status
from rl_robot_control.ros.parameters import ROBOT_ROWS, Parameter, ParameterTable, declare_robot
from rl_robot_control.ros.processes import Interrupts, die_with_parent
from rl_robot_control.ros.real_time_backend import RealTimeBackend, renamed_topics
from rl_robot_control.tasks.task import load_task

STATUS_PERIOD = 1.0  # [s]

PARAMETERS = ParameterTable('Training', [
    *ROBOT_ROWS,
    Parameter(name='task', default='walk', description='Task: name in config/tasks or path of a YAML file'),
    Parameter(name='algorithm', default='ppo', description='Algorithm: name in config/algorithms or path of a YAML'),
    Parameter(name='mode', default='lockstep', choices=('lockstep', 'realtime'),
              description='Whether the robot waits for each command'),
    Parameter(name='budget', default='simulation', choices=('simulation', 'hardware'),
              description="hardware: the robot's time is precious, and it moves to where episodes start by itself"),
    Parameter(name='out', default='', description="The run's folder"),
    Parameter(name='resume', default=False, description='Go on with the run that the folder holds'),
    Parameter(name='warm_start', default='', description='Folder of another run whose parameters to start from'),
    Parameter(name='steps', default=0, minimum=0, description="Steps in all; 0: the algorithm's default"),
    Parameter(name='minutes', default=0.0, unit='min', minimum=0.0, description='Training time at most; 0: no limit'),
    Parameter(name='seed', default=1, minimum=0, maximum=2**32 - 1, description='Of all randomness'),
    Parameter(name='timeout', default=10.0, unit='s', minimum=0.1, maximum=600.0,
              description='How long an answer of the simulation may take, in lock-step'),
    Parameter(name='state_timeout', default=0.5, unit='s', minimum=0.05, maximum=10.0,
              description="How long the robot's states may stay away, in real time"),
    Parameter(name='connect_timeout', default=60.0, unit='s', minimum=0.1, maximum=600.0,
              description='How long robot and shield may take to appear'),
])


class TrainingNode(Node):
    """Holds the parameters and reports progress; see the module's description."""

    def __init__(self) -> None:
        super().__init__('training')
        self.settings = PARAMETERS.declare(self)
        self._status = interface.TRAINING_STATUS.publisher(self)
        self._reported = -math.inf

    def train(self) -> TrainingResult:
        """Learn until the budget is spent or an interrupt comes.

        Raises:
            ConfigurationError: A parameter is wrong.
            BackendError: Simulation or shield do not answer.
            LearningError: The folder is occupied, or the parameters stopped being finite.
        """
        given = self.settings
        if not given.out:
            raise ConfigurationError("parameter 'out' is empty; give the folder for the run.")
        settings = TrainingSettings(robot=given.robot, task=given.task, algorithm=given.algorithm,
                                    backend='ros' if given.mode == 'lockstep' else 'realtime', budget=given.budget,
                                    num_envs=1, seed=given.seed, steps=given.steps or None,
                                    minutes=given.minutes or None)
        backend = self._robot()
        try:
            return train(settings, Path(given.out), resume=given.resume, backend=backend, on_progress=self._on_progress,
                         warm_start=Path(given.warm_start) if given.warm_start else None)
        finally:
            backend.close()

    def _robot(self) -> RosBackend | RealTimeBackend:
        given = self.settings
        robot = declare_robot(self)
        period = load_task(given.task, robot).control_period
        common = {'namespace': self.get_namespace(), 'connect_timeout': given.connect_timeout}
        if given.mode == 'lockstep':
            return RosBackend(robot, period, timeout=given.timeout, **common)
        return RealTimeBackend(robot, period, timeout=given.state_timeout, remappings=renamed_topics(sys.argv),
                               **common)

    def report(self, message: str, values: dict[str, Any]) -> None:
        """Publish a status."""
        values = {key: f'{value:.6g}' if isinstance(value, float) else value for key, value in values.items()}
        self._status.publish(own_status(self, DiagnosticStatus.OK, message, values))

    def _on_progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._reported < STATUS_PERIOD:
            return
        self._reported = now
        self.report('training', dataclasses.asdict(progress))
        self.get_logger().info(f'{progress.steps} of {progress.total_steps} steps, {progress.steps_per_second:.0f} per '
                               f'second, reward {progress.mean_reward:.2f} per second')


def main() -> None:
    """Run the node; the exit code is 0 after an orderly end, also after an interrupt, and 1 after an error."""
    die_with_parent()
    interrupts = Interrupts()
    node, code = None, 0
    try:
        # SIGTERM ends training as Ctrl-C does, through an exception that lets the trainer write its checkpoint; rclpy's
        # own handlers would shut the context down under it.
        signal.signal(signal.SIGTERM, interrupts)
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = TrainingNode()
        result = node.train()
        node.report('finished' if result.finished else 'interrupted', {
            'steps': result.steps, 'minutes': result.minutes, 'mean_return': result.mean_return,
            'run_folder': result.run_folder})
        node.get_logger().info(f"{'finished' if result.finished else 'interrupted'} after {result.steps} steps; the "
                               f"checkpoint is in '{result.run_folder}'.")
    except KeyboardInterrupt:
        pass
    except RobotControlError as error:
        print(f'error: {error}', file=sys.stderr, flush=True)
        code = 1
    finally:
        interrupts.ending = True
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    sys.exit(code)


if __name__ == '__main__':
    main()
