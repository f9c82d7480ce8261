"""The robot in a lit room, for pictures: its visual meshes on a tiled floor. Nothing here moves by itself."""

from __future__ import annotations

import mujoco
import numpy as np

from rl_robot_control.errors import RobotDescriptionError
from rl_robot_control.robots import RobotModel
from rl_robot_control.types import FloatArray

_COMPILER = ('<mujoco><compiler discardvisual="false" strippath="false" fusestatic="false" balanceinertia="true"/>'
             '</mujoco>')
DETAIL = 0.006  # [m] what a picture shows: about a pixel
SUNBEAM = np.array([0.3, 0.45, -1.0]) / np.linalg.norm([0.3, 0.45, -1.0])


def build_scene(robot: RobotModel, width: int, height: int) -> mujoco.MjModel:
    """A model that only serves to be drawn.

    Args:
        robot: The robot.
        width, height: Of the largest picture [pixel].

    Raises:
        RobotDescriptionError: MuJoCo refuses the URDF.
    """
    head, mark, tail = robot.urdf.rpartition('</robot>')
    try:
        spec = mujoco.MjSpec.from_string(head + _COMPILER + mark + tail)
        if robot.floating:
            spec.body(robot.settings.base.link).add_freejoint()
        _furnish(spec)
        spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
        model = spec.compile()
    except ValueError as error:
        raise RobotDescriptionError(f'{robot.urdf_path}: MuJoCo cannot draw the robot: {error}') from error
    thin_meshes(model, DETAIL)
    return model


def thin_meshes(model: mujoco.MjModel, grid: float) -> None:
    """Drop the triangles that are too small to be seen, in place; a processor draws the rest several times faster.

    Corners that fall into the same cell of a grid become one, and triangles that thereby lose their area go.

    Args:
        model: The model, before any rendering context is made from it.
        grid: Edge of a cell [m].
    """
    for mesh in range(model.nmesh):
        vertices = model.mesh_vert[model.mesh_vertadr[mesh]:][:model.mesh_vertnum[mesh]]
        rows = slice(model.mesh_faceadr[mesh], model.mesh_faceadr[mesh] + model.mesh_facenum[mesh])
        faces, normals = model.mesh_face[rows].copy(), model.mesh_facenormal[rows].copy()
        _, first, cell = np.unique(np.round(vertices / grid), axis=0, return_index=True, return_inverse=True)
        faces = first[cell.reshape(-1)][faces]
        kept = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
        model.mesh_facenum[mesh] = kept.sum()
        model.mesh_face[rows.start:rows.start + kept.sum()] = faces[kept]
        model.mesh_facenormal[rows.start:rows.start + kept.sum()] = normals[kept]


def _furnish(spec: mujoco.MjSpec) -> None:
    texture, builtin = mujoco.mjtTexture, mujoco.mjtBuiltin
    spec.add_texture(name='sky', type=texture.mjTEXTURE_SKYBOX, builtin=builtin.mjBUILTIN_GRADIENT,
                     rgb1=[0.86, 0.91, 0.96], rgb2=[0.55, 0.66, 0.78], width=256, height=256)
    spec.add_texture(name='tiles', type=texture.mjTEXTURE_2D, builtin=builtin.mjBUILTIN_CHECKER, width=256, height=256,
                     rgb1=[0.80, 0.83, 0.86], rgb2=[0.72, 0.76, 0.80], mark=mujoco.mjtMark.mjMARK_EDGE,
                     markrgb=[0.66, 0.70, 0.74])
    textures = [''] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = 'tiles'
    spec.add_material(name='tiles', textures=textures, texrepeat=[1, 1], texuniform=True)
    spec.worldbody.add_geom(name='floor', type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05], material='tiles',
                            group=1)
    spec.worldbody.add_light(name='sun', type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, dir=SUNBEAM,
                             diffuse=[0.55, 0.55, 0.52], specular=[0.2, 0.2, 0.2], castshadow=True)
    spec.visual.headlight.ambient = [0.42, 0.42, 0.44]
    spec.visual.headlight.diffuse = [0.36, 0.36, 0.36]
    spec.visual.headlight.specular = [0.1, 0.1, 0.1]
    spec.visual.quality.shadowsize = 2048
    spec.visual.map.shadowclip = 2.0


class Camera:
    """Draws configurations of the robot with a camera that follows its base."""

    def __init__(self, robot: RobotModel, width: int, height: int) -> None:
        self._model, self._robot = build_scene(robot, width, height), robot
        self._data = mujoco.MjData(self._model)
        self._joints = [self._model.joint(name).qposadr[0] for name in robot.joint_names]
        self._renderer = mujoco.Renderer(self._model, height, width)
        self._view = mujoco.MjvCamera()
        self._view.azimuth, self._view.elevation, self._view.distance = 128.0, -10.0, 2.3
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = [0, 1, 1, 0, 0, 0]  # visual shapes, not those for collisions

    def draw(self, joints: FloatArray, position: FloatArray, quaternion: FloatArray, look_at: FloatArray) -> np.ndarray:
        """A picture (height, width, 3) of 8-bit colours.

        Args:
            joints: (J,) [rad].
            position, quaternion: Of the base in the world, (3,) [m] and (4,) x y z w.
            look_at: (3,) point in the middle of the picture [m].
        """
        self._data.qpos[self._joints] = joints
        if self._robot.floating:
            self._data.qpos[:7] = [*position, quaternion[3], *quaternion[:3]]
        self._model.light_pos[0] = look_at - 2.5 * SUNBEAM  # shadows are only computed around the light's axis
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._view.lookat[:] = look_at
        self._renderer.update_scene(self._data, self._view, self._options)
        return self._renderer.render().copy()
