"""Where a robot's links are: MuJoCo's kinematics of the URDF with the base at the origin, no physics."""

from __future__ import annotations

import functools

import mujoco
import numpy as np

from rl_robot_control.errors import RobotDescriptionError
from rl_robot_control.robots import RobotModel
from rl_robot_control.types import FloatArray

_OPTIONS = ('<mujoco><compiler discardvisual="true" strippath="false" fusestatic="false" balanceinertia="true" '
            'boundmass="0.001" boundinertia="0.000001"/></mujoco>')  # masses do not matter here
GRAVITY = 9.81  # [m/s²]
_FAR = 10.0  # [m]
_NUDGES = 1e-5 * np.array([[1.0, 2.0, -1.3], [-2.1, 1.4, 1.7], [1.9, -1.1, 2.3], [-5.3, -4.1, -6.7], [7.1, -8.3, 5.9],
                           [-9.7, 6.1, 8.9]])  # [m], a tenth of the filter's margin


class LinkTree:
    """Poses, points and Jacobians in the base link's frame.

    Links that are fixed to each other are one body here and bear all of their names.

    Args:
        robot: The robot.

    Raises:
        RobotDescriptionError: MuJoCo refuses the URDF.
    """

    def __init__(self, robot: RobotModel) -> None:
        self.model = _compile(robot.urdf, str(robot.urdf_path))
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in robot.joint_names]
        self._joints = np.array([joint.id for joint in joints])
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dof = np.array([joint.dofadr[0] for joint in joints])
        self._jacobian, self._torque = np.zeros((3, self.model.nv)), np.zeros(self.model.nv)
        self._ready = False
        self.body_of = {self.model.body(i).name: int(self.model.body_weldid[i]) for i in range(1, self.model.nbody)}
        self.body_of.setdefault(robot.settings.base.link, 0)

    def place(self, position: FloatArray) -> None:
        """Put the joints (J,) [rad] somewhere."""
        self.data.qpos[self._qpos] = position
        mujoco.mj_kinematics(self.model, self.data)
        self._ready = False

    def shapes(self, body: int) -> list[int]:
        """MuJoCo's numbers of the collision shapes of a body."""
        model = self.model
        return [g for g in range(model.ngeom) if model.body_weldid[model.geom_bodyid[g]] == body
                and (model.geom_contype[g] or model.geom_conaffinity[g])]

    def adjoin(self, a: int, b: int) -> bool:
        """Whether one joint connects two bodies."""
        above = self.model.body_weldid[self.model.body_parentid[[a, b]]]
        return bool(above[0] == b or above[1] == a)

    def rate(self, point: FloatArray, body: int, direction: FloatArray) -> FloatArray:
        """How fast a point of a body moves in a direction per joint speed (J,) [m/rad]."""
        self._prepare()
        mujoco.mj_jac(self.model, self.data, self._jacobian, None, point, body)
        return (direction @ self._jacobian)[self._dof]

    def gravity(self, position: FloatArray, down: FloatArray) -> FloatArray:
        """Torque (J,) that gravity puts on each joint at rest [N·m], in the direction of the joint; it places the joints.

        Args:
            position: (J,) [rad].
            down: (3,) direction of gravity in the base link's frame.
        """
        self.place(position)
        self._prepare()
        self.model.opt.gravity[:] = GRAVITY * down
        mujoco.mj_rne(self.model, self.data, 0, self._torque)
        return -self._torque[self._dof]

    def _prepare(self) -> None:
        """What Jacobians and torques need beyond the kinematics."""
        if not self._ready:
            mujoco.mj_comPos(self.model, self.data)
            self._ready = True

    def distance(self, first: int, second: int, cutoff: float, line: FloatArray) -> float:
        """Distance of two shapes [m], negative where they overlap; a value from the cutoff on means "farther".

        MuJoCo from 3.3.5 on calls about one pair of separate meshes in 250 touching, with a distance of exactly zero
        (google-deepmind/mujoco#3383); its other answers are exact. Asked again with one shape a hair's breadth away it
        nearly always finds the answer. A zero that stays is taken for what it says.

        Args:
            first: Number of a shape.
            second: Number of the other.
            cutoff: Above which the distance need not be known [m].
            line: (6,) filled with the nearest point of each, in the base link's frame [m].
        """
        cutoff = min(cutoff, _FAR)
        found = mujoco.mj_geomDistance(self.model, self.data, first, second, cutoff, line)
        if found == 0.0:
            place = self.data.geom_xpos[second]
            there = place.copy()
            for nudge in _NUDGES:
                place[:] = there + nudge
                found = mujoco.mj_geomDistance(self.model, self.data, first, second, cutoff, line)
                if found != 0.0:
                    break
            place[:] = there
        return found

    def reach(self, body: int, extent: float) -> FloatArray:
        """Upper bounds (J,) [m/rad] of the speed of a body's points per joint speed, in any pose.

        Args:
            body: Number of the body.
            extent: Greatest distance of these points from the body's origin [m].
        """
        reach, arm = np.zeros(len(self._joints)), extent
        while body != 0:
            for i in np.flatnonzero(self.model.jnt_bodyid[self._joints] == body):
                slides = self.model.jnt_type[self._joints[i]] == mujoco.mjtJoint.mjJNT_SLIDE
                reach[i] = 1.0 if slides else arm + np.linalg.norm(self.model.jnt_pos[self._joints[i]])
            for slide in np.flatnonzero((self.model.jnt_bodyid == body)
                                        & (self.model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE)):
                arm += np.abs(self.model.jnt_range[slide]).max()
            arm += np.linalg.norm(self.model.body_pos[body])
            body = int(self.model.body_parentid[body])
        return reach

    def extent(self, body: int, shapes: list[int]) -> float:
        """Greatest distance of a body's shapes from its origin [m]."""
        place = np.zeros(len(self._qpos))
        self.place(place)
        centres = self.data.geom_xpos[shapes] - self.data.xpos[body]
        return float((np.linalg.norm(centres, axis=1) + self.model.geom_rbound[shapes]).max())


@functools.lru_cache(maxsize=4)  # compiling meshes takes a third of a second
def _compile(urdf: str, name: str) -> mujoco.MjModel:
    head, mark, tail = urdf.rpartition('</robot>')
    try:
        return mujoco.MjSpec.from_string(head + _OPTIONS + mark + tail).compile()
    except ValueError as error:
        raise RobotDescriptionError(f'{name}: MuJoCo refuses the URDF: {error}') from error
