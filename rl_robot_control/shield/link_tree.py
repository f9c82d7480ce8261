"""A robot's links and their collision shapes, read from its URDF by MuJoCo and laid out for ``mechanics``."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import mujoco
import numpy as np

from rl_robot_control.errors import RobotDescriptionError
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield import mechanics
from rl_robot_control.types import FloatArray

Frame = tuple[FloatArray, FloatArray]  # origin (3,) and axes (3, 3), as columns, in a common frame
_OPTIONS = ('<mujoco><compiler discardvisual="true" strippath="false" fusestatic="false" balanceinertia="true"/>'
            '</mujoco>')
_SIDES = 16  # of the polygon around a cylinder


@dataclass(frozen=True)
class Shape:
    """A convex body: all points that are no farther than the radius from the hull of the corners."""

    corners: FloatArray  # (V, 3) [m]
    radius: float = 0.0  # [m]

    def moved(self, start: Frame, end: Frame) -> Shape:
        """The same shape, given in one frame, in another."""
        return Shape((self.corners @ start[1].T + start[0] - end[0]) @ end[1], self.radius)


class LinkTree:
    """Links as arrays. What no controlled joint moves is one link, and bears all of its names.

    Args:
        robot: The robot; its other joints are taken where they are zero.

    Attributes:
        names: For each of the B links, the name of its first part.
        link_of: Name of each part → index of its link.
        links, parents, joints, slides: What ``mechanics.place`` needs.
        shapes: For each link its collision shapes, in its frame.

    Raises:
        RobotDescriptionError: MuJoCo refuses the URDF.
    """

    def __init__(self, robot: RobotModel) -> None:
        model, shapes = _compile(robot.urdf, str(robot.urdf_path))
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        moved_by = {int(model.jnt_bodyid[model.joint(name).id]): j for j, name in enumerate(robot.joint_names)}
        groups: list[list[int]] = [[]]
        link_of_body: list[int] = []
        parents, joints = [-1], [-1]
        for body in range(model.nbody):
            if body in moved_by:
                parents.append(link_of_body[model.body_parentid[body]])
                joints.append(moved_by[body])
                groups.append([])
            link_of_body.append(len(groups) - 1 if body in moved_by else
                                link_of_body[model.body_parentid[body]] if body else 0)
            groups[link_of_body[body]].append(body)
        self.parents, self.joints = np.array(parents, dtype=np.int64), np.array(joints, dtype=np.int64)
        self.names = [robot.settings.base.link, *(model.body(group[0]).name for group in groups[1:])]
        self.link_of = {model.body(body).name: link for body, link in enumerate(link_of_body) if body}
        self.link_of.setdefault(robot.settings.base.link, 0)
        self.links = np.zeros((len(groups), mechanics.LINK))
        self.slides = np.zeros(len(groups), dtype=bool)
        self.shapes: list[list[Shape]] = []
        self._parts: dict[str, Frame] = {}  # place of each part in its link's frame
        self._travel = np.zeros(len(groups))  # of prismatic joints [m]
        for link, group in enumerate(groups):
            frame = _frame(data, group[0]) if link else (np.zeros(3), np.eye(3))
            self._describe(model, data, link, group, frame)
            for body in group:
                place, turn = _frame(data, body)
                self._parts[model.body(body).name] = frame[1].T @ (place - frame[0]), frame[1].T @ turn
            self.shapes.append([shape.moved(_frame(data, body), frame) for body in group for shape in shapes[body]])

    @property
    def num_joints(self) -> int:
        """J."""
        return len(self.links) - 1

    @property
    def mass(self) -> float:
        """Of all links [kg]."""
        return float(self.links[:, mechanics.MASS].sum())

    def adjoin(self, a: int, b: int) -> bool:
        """Whether one joint connects two links."""
        return bool(self.parents[a] == b or self.parents[b] == a)

    def place(self, position: FloatArray) -> FloatArray:
        """Poses (B, ``mechanics.POSE``) with the joints at (J,) [rad]."""
        pose = np.zeros((len(self.links), mechanics.POSE))
        mechanics.place(self.links, self.parents, self.joints, self.slides,
                        np.ascontiguousarray(position, dtype=np.float64), pose)
        return pose

    def local(self, part: str, point: FloatArray) -> FloatArray:
        """A point (3,) of a part, given in the part's frame, in the frame of its link [m]."""
        place, turn = self._parts[part]
        return place + turn @ np.asarray(point, dtype=np.float64)

    def reach(self, link: int, centre: FloatArray, radius: float) -> FloatArray:
        """Upper bounds (J,) [m/rad] of the speed of points of a link per joint speed, in any pose.

        Args:
            link: Its index.
            centre: (3,) of a ball that holds the points, in the link's frame [m].
            radius: Of the ball [m].
        """
        reach, arm = np.zeros(self.num_joints), float(np.linalg.norm(centre)) + radius
        while link > 0:
            joint = self.joints[link]
            reach[joint] = 1.0 if self.slides[link] else arm
            arm += float(np.linalg.norm(self.links[link, mechanics.PLACE:mechanics.PLACE + 3])) + self._travel[link]
            link = int(self.parents[link])
        return reach

    def _describe(self, model: mujoco.MjModel, data: mujoco.MjData, link: int, group: list[int], frame: Frame) -> None:
        row = self.links[link]
        if link:
            joint = model.body_jntadr[group[0]]
            row[mechanics.AXIS:mechanics.AXIS + 3] = model.jnt_axis[joint]
            self.slides[link] = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
            self._travel[link] = np.abs(model.jnt_range[joint]).max() if self.slides[link] else 0.0
            parent = self.parents[link]
            before = _frame(data, self._first_body(model, parent)) if parent else (np.zeros(3), np.eye(3))
            row[mechanics.PLACE:mechanics.PLACE + 3] = before[1].T @ (frame[0] - before[0])
            row[mechanics.TURN:mechanics.TURN + 9] = (before[1].T @ frame[1]).ravel()
        mass = model.body_mass[group].sum()
        centre = np.average(data.xipos[group], axis=0, weights=model.body_mass[group]) if mass else frame[0]
        inertia = np.zeros((3, 3))
        for body in group:
            turn, arm = data.ximat[body].reshape(3, 3), data.xipos[body] - centre
            inertia += turn @ np.diag(model.body_inertia[body]) @ turn.T
            inertia += model.body_mass[body] * (arm @ arm * np.eye(3) - np.outer(arm, arm))
        row[mechanics.MASS] = mass
        row[mechanics.CENTRE:mechanics.CENTRE + 3] = frame[1].T @ (centre - frame[0])
        row[mechanics.INERTIA:mechanics.INERTIA + 9] = (frame[1].T @ inertia @ frame[1]).ravel()

    def _first_body(self, model: mujoco.MjModel, link: int) -> int:
        return model.body(self.names[link]).id


def _frame(data: mujoco.MjData, body: int) -> Frame:
    return data.xpos[body].copy(), data.xmat[body].reshape(3, 3).copy()


@functools.lru_cache(maxsize=4)  # reading the meshes takes a third of a second
def _compile(urdf: str, name: str) -> tuple[mujoco.MjModel, list[list[Shape]]]:
    """The model, and for each body the collision shapes in its frame."""
    head, mark, tail = urdf.rpartition('</robot>')
    try:
        model = mujoco.MjSpec.from_string(head + _OPTIONS + mark + tail).compile()
    except ValueError as error:
        raise RobotDescriptionError(f'{name}: MuJoCo refuses the URDF: {error}') from error
    shapes: list[list[Shape]] = [[] for _ in range(model.nbody)]
    for geom in range(model.ngeom):
        if model.geom_contype[geom] or model.geom_conaffinity[geom]:
            turn = np.empty(9)
            mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
            place = model.geom_pos[geom], turn.reshape(3, 3)
            shapes[model.geom_bodyid[geom]].append(_shape(model, geom).moved(place, (np.zeros(3), np.eye(3))))
    return model, shapes


def _shape(model: mujoco.MjModel, geom: int) -> Shape:
    """A collision shape in its own frame."""
    kind, (a, b, c) = mujoco.mjtGeom(model.geom_type[geom]), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        return Shape(_hull(model, int(model.geom_dataid[geom])))
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return Shape(np.zeros((1, 3)), a)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return Shape(np.array([[0.0, 0.0, -b], [0.0, 0.0, b]]), a)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return Shape(np.array(list(itertools.product((-a, a), (-b, b), (-c, c)))))
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        angle = np.arange(_SIDES) * (2 * np.pi / _SIDES)
        x, y = a / np.cos(np.pi / _SIDES) * np.array([np.cos(angle), np.sin(angle)])  # around the circle
        return Shape(np.concatenate([np.stack([x, y, np.full(_SIDES, z)], axis=1) for z in (-b, b)]))
    raise RobotDescriptionError(f"a collision shape of link '{model.body(model.geom_bodyid[geom]).name}' is a "
                                f'{kind.name}; a URDF has boxes, cylinders, spheres and meshes.')


def _hull(model: mujoco.MjModel, mesh: int) -> FloatArray:
    """Corners of the convex hull of a mesh, which is what collides."""
    first, graph = model.mesh_vertadr[mesh], model.mesh_graphadr[mesh]
    points = model.mesh_vert[first:first + model.mesh_vertnum[mesh]]
    if graph >= 0:  # count of corners, count of faces, an address for each corner, then its number
        count = model.mesh_graph[graph]
        points = points[model.mesh_graph[graph + 2 + count:graph + 2 + 2 * count]]
    return points.astype(np.float64)
