"""Builds a MuJoCo model from a robot's URDF and settings."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np

from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.errors import RobotDescriptionError
from rl_robot_control.robots import RobotModel

FLOOR = 'floor'
BASE_SITE = 'base'


def build_model(robot: RobotModel, physics: PhysicsSettings, visuals: bool = False) -> mujoco.MjModel:
    """Compile a robot on a floor, with a position drive per joint, an IMU and a sensor set per frame.

    The drives are ``force = stiffness · (target − q) − damping · q̇``, clipped to the URDF's effort. Sensors stand in
    the order of ``sensor_layout``.

    Args:
        robot: The robot.
        physics: How it is simulated.
        visuals: Keep the meshes that only matter for pictures.

    Raises:
        RobotDescriptionError: MuJoCo refuses the URDF.
    """
    spec = _parse(robot, visuals)
    free = free_joints(robot, physics)
    _weld(spec, robot, [name for name in all_joints(spec) if name not in free])
    _add_base(spec, robot)
    _set_collisions(spec, robot, physics)
    _add_frames(spec, robot)
    for name in free:
        _add_drive(spec, robot, name)
    _add_sensors(spec, robot, free)
    _set_options(spec, physics)
    try:
        model = spec.compile()
    except ValueError as error:
        raise RobotDescriptionError(f'{robot.urdf_path}: MuJoCo refuses the model: {error}') from error
    return model if physics.collisions == 'feet' else _exclude_overlaps(spec, model, robot, free)


def free_joints(robot: RobotModel, physics: PhysicsSettings) -> list[str]:
    """The robot's joints that move in the simulation, in the robot's order."""
    welded = set(robot.joint_indices(physics.welded_joints)) if physics.welded_joints else set()
    return [name for i, name in enumerate(robot.joint_names) if i not in welded]


def all_joints(spec: mujoco.MjSpec) -> list[str]:
    """Names of the hinge and slide joints of a model under construction."""
    return [joint.name for joint in spec.joints if joint.type != mujoco.mjtJoint.mjJNT_FREE]


def _parse(robot: RobotModel, visuals: bool) -> mujoco.MjSpec:
    options = (f'<mujoco><compiler discardvisual="{"false" if visuals else "true"}" strippath="false" '
               f'fusestatic="{"false" if visuals else "true"}" balanceinertia="true"/></mujoco>')
    head, mark, tail = robot.urdf.rpartition('</robot>')
    try:
        return mujoco.MjSpec.from_string(head + options + mark + tail)
    except ValueError as error:
        raise RobotDescriptionError(f'{robot.urdf_path}: MuJoCo refuses the URDF: {error}') from error


def _weld(spec: mujoco.MjSpec, robot: RobotModel, names: list[str]) -> None:
    """Remove joints, leaving their links as the default pose has them."""
    default = dict(zip(robot.joint_names, robot.default_position, strict=True))
    for name in names:
        joint = spec.joint(name)
        body, angle = joint.parent, default.get(name, 0.0)
        axis = np.array(joint.axis, dtype=np.float64) / np.linalg.norm(joint.axis)
        if joint.type == mujoco.mjtJoint.mjJNT_HINGE:
            turn, turned = np.empty(4), np.empty(4)
            mujoco.mju_axisAngle2Quat(turn, axis, angle)
            mujoco.mju_mulQuat(turned, np.array(body.quat, dtype=np.float64), turn)
            body.quat = turned
        else:
            shift = np.empty(3)
            mujoco.mju_rotVecQuat(shift, axis * angle, np.array(body.quat, dtype=np.float64))
            body.pos = np.array(body.pos) + shift
        spec.delete(joint)


def _add_base(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    base = spec.body(robot.settings.base.link)
    if robot.floating:
        base.add_freejoint()
        base.pos = [0, 0, robot.settings.base.height]
    base.add_site(name=BASE_SITE)


def _set_collisions(spec: mujoco.MjSpec, robot: RobotModel, physics: PhysicsSettings) -> None:
    feet = {frame.link for frame in robot.settings.frames.values() if frame.contact is not None}
    for geom in spec.geoms:
        collides = bool(geom.contype or geom.conaffinity) and (physics.collisions == 'full' or geom.parent.name in feet)
        geom.contype = geom.conaffinity = int(collides)
        geom.friction[0] = physics.friction
        geom.group = geom.group if collides else max(geom.group, 1)
    spec.worldbody.add_geom(name=FLOOR, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05],
                            friction=[physics.friction, 0.005, 0.0001])


def _add_frames(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    for name, frame in robot.settings.frames.items():
        size = [0.01] * 3 if frame.contact is None else [edge / 2 for edge in frame.contact.size]
        spec.body(frame.link).add_site(name=name, pos=list(frame.offset), size=size,
                                       type=mujoco.mjtGeom.mjGEOM_BOX, group=4)


def _add_drive(spec: mujoco.MjSpec, robot: RobotModel, name: str) -> None:
    i = robot.joint_names.index(name)
    spec.joint(name).armature = robot.armature[i]
    limit = robot.effort_limit[i]
    spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT,
                      gainprm=[robot.stiffness[i], *[0] * 9], biastype=mujoco.mjtBias.mjBIAS_AFFINE,
                      biasprm=[0, -robot.stiffness[i], -robot.damping[i], *[0] * 7], forcerange=[-limit, limit],
                      forcelimited=True)


def sensor_layout(robot: RobotModel, num_free: int) -> dict[str, slice]:
    """Where each quantity stands in MuJoCo's sensor array."""
    frames = len(robot.frame_names)
    contacts = sum(frame.contact is not None for frame in robot.settings.frames.values())
    sizes = {'acceleration': 3, 'effort': num_free, 'position': 3 * frames, 'velocity': 3 * frames,
             'axis_z': 3 * frames, 'contact': contacts}
    ends = list(itertools.accumulate(sizes.values()))
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


def _add_sensors(spec: mujoco.MjSpec, robot: RobotModel, free: list[str]) -> None:
    kind, site = mujoco.mjtSensor, mujoco.mjtObj.mjOBJ_SITE
    spec.add_sensor(type=kind.mjSENS_ACCELEROMETER, objtype=site, objname=BASE_SITE)
    for name in free:
        spec.add_sensor(type=kind.mjSENS_ACTUATORFRC, objtype=mujoco.mjtObj.mjOBJ_ACTUATOR, objname=name)
    for measure in (kind.mjSENS_FRAMEPOS, kind.mjSENS_FRAMELINVEL, kind.mjSENS_FRAMEZAXIS):
        for name in robot.frame_names:
            spec.add_sensor(type=measure, objtype=site, objname=name)
    for name, frame in robot.settings.frames.items():
        if frame.contact is not None:
            spec.add_sensor(type=kind.mjSENS_TOUCH, objtype=site, objname=name)


def _set_options(spec: mujoco.MjSpec, physics: PhysicsSettings) -> None:
    option = spec.option
    option.timestep, option.iterations = physics.timestep, physics.solver_iterations
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON


def _exclude_overlaps(spec: mujoco.MjSpec, model: mujoco.MjModel, robot: RobotModel,
                      free: list[str]) -> mujoco.MjModel:
    """Drop the contacts between links whose collision shapes already overlap in the default pose.

    Published collision meshes of neighbouring links often interpenetrate; kept, they would push the robot apart.
    """
    data = mujoco.MjData(model)
    for name in free:
        data.qpos[model.joint(name).qposadr[0]] = robot.default_position[robot.joint_names.index(name)]
    mujoco.mj_forward(model, data)
    pairs = {tuple(sorted(model.geom_bodyid[list(contact.geom)])) for contact in data.contact if contact.dist < 0}
    pairs = {pair for pair in pairs if pair[0] != 0}
    for a, b in pairs:
        spec.add_exclude(bodyname1=model.body(a).name, bodyname2=model.body(b).name)
    return spec.compile() if pairs else model
