"""A robot's state, commands and shield as markers for RViz; each is drawn in a frame that TF knows.

``text`` stands above the base, ``commanded`` and ``measured`` are arrows of its velocity, a sphere on a joint's link is
a correction of the shield, an arrow on a foot its contact force, a cube an object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.urdf import child_links
from rl_robot_control.types import FloatArray

LIFETIME = 1.0  # after which a marker that is not renewed goes away [s]
ARROW_PER_SPEED = 0.6  # length of a velocity's arrow [m per m/s]
ARROW_PER_WEIGHT = 0.4  # length of a contact force's arrow [m per weight of the robot]
LARGEST_CORRECTION = 0.5  # [rad] that has the largest sphere
ABOVE = 0.35  # of the arrows over the base [m]; the text stands twice as high
GRAVITY = 9.81  # [m/s²]
Colour = tuple[float, float, float]
COMMANDED: Colour = (0.1, 0.4, 1.0)
MEASURED: Colour = (0.1, 0.8, 0.2)
FORCE: Colour = (0.95, 0.75, 0.1)
OBJECT: Colour = (0.9, 0.5, 0.1)
CORRECTION: Colour = (0.95, 0.15, 0.1)
MODES: dict[str, Colour] = {'STARTING': (0.6, 0.6, 0.6), 'READY': (0.4, 0.7, 1.0), 'ACTIVE': (0.1, 0.8, 0.2),
                            'BRAKING': (1.0, 0.7, 0.0), 'DAMPING': (1.0, 0.3, 0.0), 'LATCHED': (0.9, 0.0, 0.0)}
UNKNOWN: Colour = (0.6, 0.6, 0.6)


@dataclass(kw_only=True)
class Scene:
    """What is known of one robot; what is None or empty is not drawn."""

    commanded: FloatArray | None = None  # (3,) velocity command: m/s, m/s, rad/s
    measured: FloatArray | None = None  # (3,) of the base, likewise
    mode: str = ''  # of the shield
    text: str = ''  # said above the robot
    corrections: Mapping[str, float] = field(default_factory=dict)  # joint → applied minus requested [rad]
    contacts: Mapping[str, float] = field(default_factory=dict)  # frame → force [N]
    objects: Mapping[str, tuple[str, Pose]] = field(default_factory=dict)  # name → frame and pose


class SceneMarkers:
    """Draws scenes of one robot.

    Args:
        robot: The robot.
        frame_prefix: Before the names of its frames in TF.
    """

    def __init__(self, robot: RobotModel, frame_prefix: str = '') -> None:
        self._prefix, self._base = frame_prefix, robot.settings.base.link
        self._links = child_links(robot.urdf)
        self._frames = robot.settings.frames
        self._weight = robot.mass * GRAVITY

    def draw(self, scene: Scene, stamp: Any) -> MarkerArray:
        """All markers of an instant."""
        markers = [*self._velocities(scene), *self._status(scene), *self._corrections(scene.corrections),
                   *self._contacts(scene.contacts), *self._objects(scene.objects)]
        for marker in markers:
            marker.header.stamp = stamp
        return MarkerArray(markers=markers)

    def _velocities(self, scene: Scene) -> list[Marker]:
        arrows = []
        for height, name, colour in ((ABOVE, 'commanded', COMMANDED), (ABOVE + 0.06, 'measured', MEASURED)):
            velocity = getattr(scene, name)
            if velocity is not None and np.isfinite(velocity).all():
                tip = ARROW_PER_SPEED * np.array([velocity[0], velocity[1], 0.0])
                arrows.append(self._arrow(name, self._base, (0.0, 0.0, height), tip, colour))
        return arrows

    def _status(self, scene: Scene) -> list[Marker]:
        if not scene.text:
            return []
        marker = self._marker('text', self._base, Marker.TEXT_VIEW_FACING, MODES.get(scene.mode, UNKNOWN))
        marker.pose.position.z, marker.scale.z, marker.text = 2 * ABOVE, 0.08, scene.text
        return [marker]

    def _corrections(self, corrections: Mapping[str, float]) -> list[Marker]:
        spheres = []
        for i, (joint, change) in enumerate(sorted(corrections.items())):
            if joint in self._links and np.isfinite(change):
                marker = self._marker('corrections', self._links[joint], Marker.SPHERE, CORRECTION, i)
                size = 0.04 + 0.12 * min(abs(change) / LARGEST_CORRECTION, 1.0)
                marker.scale.x = marker.scale.y = marker.scale.z = size
                marker.color.a = 0.7
                spheres.append(marker)
        return spheres

    def _contacts(self, contacts: Mapping[str, float]) -> list[Marker]:
        arrows = []
        for i, (frame, force) in enumerate(sorted(contacts.items())):
            if np.isfinite(force) and force > 0.0:
                place = self._frames[frame]
                tip = np.array([0.0, 0.0, ARROW_PER_WEIGHT * force / self._weight])
                arrows.append(self._arrow('contacts', place.link, place.offset, tip, FORCE, i))
        return arrows

    def _objects(self, objects: Mapping[str, tuple[str, Pose]]) -> list[Marker]:
        cubes = []
        for i, (name, (frame, pose)) in enumerate(sorted(objects.items())):
            marker = self._marker('objects', '', Marker.CUBE, OBJECT, i)
            marker.header.frame_id, marker.pose, marker.text = self._prefix + frame, pose, name
            marker.scale.x = marker.scale.y = marker.scale.z = 0.06
            cubes.append(marker)
        return cubes

    def _arrow(self, name: str, link: str, start: Sequence[float], tip: FloatArray, colour: Colour,
               number: int = 0) -> Marker:
        marker = self._marker(name, link, Marker.ARROW, colour, number)
        marker.points = [Point(x=x, y=y, z=z) for x, y, z in (map(float, start), map(float, np.add(start, tip)))]
        marker.scale.x, marker.scale.y, marker.scale.z = 0.02, 0.045, 0.0  # shaft, head
        return marker

    def _marker(self, name: str, link: str, kind: int, colour: Colour, number: int = 0) -> Marker:
        marker = Marker(ns=name, id=number, type=kind, action=Marker.ADD,
                        color=ColorRGBA(r=colour[0], g=colour[1], b=colour[2], a=1.0),
                        lifetime=Duration(sec=int(LIFETIME), nanosec=int(LIFETIME % 1 * 1e9)), frame_locked=True)
        marker.header.frame_id = self._prefix + link
        return marker
