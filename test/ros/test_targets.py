"""A policy with a target in the inference node: it goes where the topic `goal` says."""

import math

import pytest
import torch
from rig import TIMEOUT, hanging_robot

from rl_robot_control.learning.export import export_policy
from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface
from rl_robot_control.tasks.task import load_task

pytestmark = pytest.mark.realtime


class Servo(torch.nn.Module):
    """Torque in proportion to the error and the velocity, with the rod's weight carried; see the task joint_servo."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Shares of 1.5 N·m."""
        error, velocity, position = observation.chunk(3, dim=1)
        return ((2.0 * error - 2.5 * velocity + 0.44 * torch.sin(position)) / 1.5).clamp(-1.0, 1.0)


def test_the_joint_turns_to_the_target_and_a_foreign_frame_is_refused(tmp_path):
    robot = load_robot('servo')
    task = load_task('joint_servo', robot)
    lower, upper = task.command_range()
    policy = tmp_path / 'servo.onnx'
    export_policy(Servo(), task.settings.interface, robot, policy, task='joint_servo', algorithm='none', training={},
                  command_lower=lower, command_upper=upper, sample_states=robot.standing_state(2))
    with hanging_robot(tmp_path / 'logs', 'servo') as rig:
        node, operator = rig.run_policy(policy), rig.operator
        angles = []
        interface.JOINT_STATES.subscription(operator.node, lambda message: angles.append(message.position[0]))
        goal = interface.GOAL.publisher(operator.node)

        def send(angle, frame):
            message = interface.GOAL.type()
            message.header.frame_id = frame
            point = message.pose.position
            point.x, point.y, point.z = -0.3 * math.sin(angle), 0.06, 0.5 - 0.3 * math.cos(angle)
            goal.publish(message)

        def reached(angle):
            send(angle, 'base')
            return bool(angles) and abs(angles[-1] - angle) < 0.1

        for angle in (1.0, -0.8):
            operator.wait_until(lambda angle=angle: reached(angle), f'the joint is at {angle} rad', TIMEOUT)
        send(1.0, 'somewhere')
        operator.wait_until(lambda: "given in 'somewhere', needed is 'base'" in node.log.read_text(), 'it is refused',
                            TIMEOUT)
        assert abs(angles[-1] + 0.8) < 0.3
