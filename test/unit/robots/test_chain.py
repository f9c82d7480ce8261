"""Where links are, against MuJoCo."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from rl_robot_control.errors import UnknownNameError
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.chain import Chain


@pytest.mark.parametrize(('robot', 'link'), [('unitree_g1', 'torso_link'), ('unitree_g1', 'left_wrist_yaw_link'),
                                             ('panda', 'panda_leftfinger'), ('unitree_g1', 'pelvis')])
def test_agrees_with_mujoco(robot, link):
    model = load_robot(robot)
    head, mark, tail = model.urdf.rpartition('</robot>')
    options = ('<mujoco><compiler discardvisual="true" strippath="false" fusestatic="false" balanceinertia="true"/>'
               '</mujoco>')
    world = mujoco.MjSpec.from_string(head + options + mark + tail).compile()
    data, rng = mujoco.MjData(world), np.random.default_rng(1)
    positions = rng.uniform(model.position_lower, model.position_upper, (5, model.num_joints))
    places, turns = Chain(model, link).pose(positions)
    for position, place, turn in zip(positions, places, turns, strict=True):
        data.qpos[:] = 0.0
        for name, value in zip(model.joint_names, position, strict=True):
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(world, data)
        base = model.settings.base.link
        origin, axes = np.zeros(3), np.eye(3)  # MuJoCo makes the root link the world
        if mujoco.mj_name2id(world, mujoco.mjtObj.mjOBJ_BODY, base) >= 0:
            origin, axes = data.body(base).xpos, data.body(base).xmat.reshape(3, 3)
        if link == base:
            np.testing.assert_allclose(place, 0.0, atol=1e-12)
            continue
        np.testing.assert_allclose(place, axes.T @ (data.body(link).xpos - origin), atol=1e-9)
        np.testing.assert_allclose(turn, axes.T @ data.body(link).xmat.reshape(3, 3), atol=1e-9)


def test_a_link_that_is_not_there_is_named():
    with pytest.raises(UnknownNameError, match="unknown link of unitree_g1 'torso'"):
        Chain(load_robot('unitree_g1'), 'torso')
