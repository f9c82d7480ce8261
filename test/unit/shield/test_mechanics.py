"""Poses, inertia and bias torques against numbers worked out by hand and against MuJoCo."""

import mujoco
import numpy as np
import pytest

from rl_robot_control.robots import load_robot
from rl_robot_control.shield import mechanics
from rl_robot_control.shield.link_tree import LinkTree

from .robots import build, joint, link, pendulum

DOWN = np.array([0.0, 0.0, -9.81])
STILL = np.zeros(3)


def mass_matrix(tree, position):
    mass, pose = np.zeros((tree.num_joints, tree.num_joints)), tree.place(position)
    mechanics.mass_matrix(tree.parents, tree.joints, pose, inertias(tree, pose), mass)
    return mass


def inertias(tree, pose):
    bodies = np.zeros((len(tree.links), 10))
    mechanics.inertias(tree.links, pose, bodies)
    return bodies


def bias(tree, position, speed, turn=STILL, down=DOWN):
    torque, pose = np.zeros(tree.num_joints), tree.place(position)
    mechanics.bias(tree.parents, tree.joints, pose, inertias(tree, pose), np.asarray(speed, float), turn, down,
                   np.zeros((len(tree.links), 18)), torque)
    return torque


def test_a_pendulum(tmp_path):
    tree = LinkTree(pendulum(tmp_path))
    np.testing.assert_allclose(mass_matrix(tree, np.array([0.3])), [[2.0 * 0.5**2]], atol=1e-6)
    # turned by 0.3 rad about y it hangs behind: holding it takes m·g·l·sin(0.3) = 2·9.81·0.5·0.29552 = 2.8991 N·m
    np.testing.assert_allclose(bias(tree, np.array([0.3]), [7.0]), [2 * 9.81 * 0.5 * np.sin(0.3)], atol=1e-9)


def test_two_rods_that_swing(tmp_path):
    """Two point masses of 1 kg on rods of 1 m in a plane, the second turned sideways: the textbook double pendulum."""
    robot = build(tmp_path, link('base'), link('one', centre='1 0 0', inertia=1e-9),
                  link('two', centre='1 0 0', inertia=1e-9), joint('first', 'base', 'one', axis='0 0 1'),
                  joint('second', 'one', 'two', place='1 0 0', axis='0 0 1'))
    tree, q, v = LinkTree(robot), np.array([0.2, np.pi / 2]), np.array([3.0, 5.0])
    # M11 = m + m·(1 + 1 + 2·cos q2) = 3, M12 = m·(1 + cos q2) = 1, M22 = 1
    np.testing.assert_allclose(mass_matrix(tree, q), [[3.0, 1.0], [1.0, 1.0]], atol=1e-6)
    # Coriolis with h = m·sin q2 = 1: -h·(2·v1·v2 + v2²) = -(30 + 25) and h·v1² = 9; gravity is normal to the plane
    np.testing.assert_allclose(bias(tree, q, v), [-55.0, 9.0], atol=1e-6)


def test_a_slide(tmp_path):
    robot = build(tmp_path, link('base'), link('cart', mass=3.0),
                  joint('lift', 'base', 'cart', axis='0 0 1', kind='prismatic'))
    tree = LinkTree(robot)
    assert tree.place(np.array([0.7]))[1, mechanics.POSITION + 2] == 0.7
    np.testing.assert_allclose(mass_matrix(tree, np.array([0.7])), [[3.0]])
    np.testing.assert_allclose(bias(tree, np.array([0.7]), [2.0]), [3.0 * 9.81])


@pytest.mark.parametrize('name', ['unitree_g1', 'panda'])
def test_robots_as_mujoco_has_them(name):
    robot, random = load_robot(name), np.random.default_rng(1)
    tree = LinkTree(robot)
    head, mark, tail = robot.urdf.rpartition('</robot>')
    options = ('<mujoco><compiler discardvisual="true" strippath="false" fusestatic="false" balanceinertia="true"/>'
               '</mujoco>')
    model = mujoco.MjSpec.from_string(head + options + mark + tail).compile()
    data, full = mujoco.MjData(model), np.zeros((model.nv, model.nv))
    qpos = [model.joint(joint).qposadr[0] for joint in robot.joint_names]
    dof = [model.joint(joint).dofadr[0] for joint in robot.joint_names]
    for _ in range(5):
        q, v, down = (random.normal(0, scale, size) for scale, size in ((1, len(dof)), (3, len(dof)), (6, 3)))
        data.qpos[qpos], data.qvel[dof], model.opt.gravity[:] = q, v, down
        mujoco.mj_forward(model, data)
        mujoco.mj_fullM(model, data, full)
        np.testing.assert_allclose(mass_matrix(tree, q), full[np.ix_(dof, dof)], atol=1e-9)
        np.testing.assert_allclose(bias(tree, q, v, down=down), data.qfrc_bias[dof], atol=1e-8)
        pose = tree.place(q)
        for part, link_index in tree.link_of.items():
            place = pose[link_index]
            at = (place[mechanics.POSITION:mechanics.POSITION + 3]
                  + place[:9].reshape(3, 3) @ tree.local(part, (0.0, 0.1, 0.0)))
            body = data.body(part)
            np.testing.assert_allclose(at, body.xpos + body.xmat.reshape(3, 3) @ [0.0, 0.1, 0.0], atol=1e-9)


def test_a_base_that_turns_pulls_outward(tmp_path):
    tree = LinkTree(pendulum(tmp_path))
    # a rod 45° out of the axis of a turn of w: centrifugal torque m·l²·w²·sin·cos = 2·0.25·4·0.5 = 1 N·m outward
    still, turning = (bias(tree, np.array([np.pi / 4]), [0.0], turn=np.array([0.0, 0.0, w])) for w in (0.0, 2.0))
    assert abs((still - turning)[0] - 1.0) < 1e-6


def test_factor_and_solution():
    chain, joints = np.array([-1, 0, 1]), np.array([-1, 0, 1])
    factor, vector = np.array([[4.0, 2.0], [2.0, 5.0]]), np.array([2.0, 3.0])
    assert mechanics.factorise(chain, joints, factor)
    mechanics.solve(chain, joints, factor, vector)
    np.testing.assert_allclose(vector, [0.25, 0.5])  # 4·0.25 + 2·0.5 = 2, 2·0.25 + 5·0.5 = 3
    assert not mechanics.factorise(chain, joints, np.array([[1.0, 2.0], [2.0, 1.0]]))  # not positive definite
    assert not mechanics.factorise(chain, joints, np.array([[np.nan, 2.0], [2.0, 1.0]]))


def test_branches_do_not_meet_in_the_factor():
    robot = load_robot('unitree_g1')
    tree, rng = LinkTree(robot), np.random.default_rng(3)
    matrix = mass_matrix(tree, rng.uniform(robot.position_lower, robot.position_upper)) + np.diag(robot.armature)
    factor, vector = matrix.copy(), rng.normal(size=29)
    expected = np.linalg.solve(matrix, vector)
    assert mechanics.factorise(tree.parents, tree.joints, factor)
    mechanics.solve(tree.parents, tree.joints, factor, vector)
    np.testing.assert_allclose(vector, expected, rtol=1e-9)
