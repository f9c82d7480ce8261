"""One compiled look at everything that could be wrong: while nothing is, a cycle needs no more judging.

It says no in case of doubt; then the checks of ``validation``, ``freshness``, ``tilt``, ``body`` and ``joints`` find
out what it is and for how long. NaN is never in order.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from rl_robot_control.shield import kernel
from rl_robot_control.shield.body import LOADED
from rl_robot_control.shield.compiled import compiled
from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.shield.tilt import largest_tilt
from rl_robot_control.shield.validation import QUATERNION_NORM

# What is compared; a check that is not configured has bounds that everything keeps.
BOUNDS = np.dtype([(name, np.float64) for name in (
    'max_lag', 'max_lead',  # of a stamp [s]
    'tilt',  # of x² + y² of a unit quaternion [-]
    'turn',  # squared [rad²/s²]
    'lowest', 'highest',  # [m]
    'loaded', 'contact_force',  # [N]
    'shortest', 'longest',  # squared norm of a quaternion that is one [-]
)] + [(name, np.bool_) for name in ('oriented', 'turning', 'height', 'contacts', 'required')])

_Array, _Vector = numba.float64[:, ::1], numba.float64[::1]


def quick_bounds(limits: ShieldLimits) -> np.ndarray:
    """The bounds (1,) of ``BOUNDS`` for some limits."""
    bounds = np.zeros(1, dtype=BOUNDS)
    low, high = limits.height or (-np.inf, np.inf)
    values = dict(max_lag=limits.command_timeout, max_lead=limits.state_timeout, lowest=low, highest=high,
                  tilt=np.inf if limits.tilt is None else largest_tilt(limits.tilt),
                  turn=np.inf if limits.turn is None else limits.turn**2,
                  loaded=LOADED, shortest=QUATERNION_NORM[0], longest=QUATERNION_NORM[1],
                  contact_force=np.inf if limits.contact_force is None else limits.contact_force,
                  oriented=limits.tilt is not None, turning=limits.turn is not None, height=limits.height is not None,
                  contacts=limits.watches_contacts, required=limits.require_measurements)
    for name, value in values.items():
        bounds[name] = value
    return bounds


@compiled(numba.boolean(numba.from_dtype(BOUNDS)[::1], numba.from_dtype(kernel.JOINT)[::1], _Array, _Vector, _Vector,
                        _Vector, _Array, _Array, _Array, _Array, _Array, _Array, numba.int64[::1],
                        numba.boolean[:, ::1]))
def nothing_wrong(bounds, joints, target, stamp, last_stamp, time, position, velocity, quaternion, turn, base, force,
                  frames, seen):
    """Whether every robot's state, command and stamps are in order.

    Args:
        bounds: (1,) of ``BOUNDS``.
        joints: (J,) of ``kernel.JOINT``.
        target: (N, J) commanded [rad].
        stamp: (N,) of the commands [s].
        last_stamp: (N,) of the commands accepted before [s].
        time: (N,) of the states [s].
        position: (N, J) [rad]
        velocity: (N, J) [rad/s]
        quaternion: (N, 4) of the base; any of these last arrays may be empty where its check is not configured.
        turn: (N, 3) angular velocity of the base [rad/s].
        base: (N, 3) its position [m].
        force: (N, F) on the frames [N].
        frames: Those whose contacts are checked.
        seen: (2, N) whether height and contacts have been measured before.
    """
    b = bounds[0]
    for n in range(len(time)):
        lag = time[n] - stamp[n]
        if not (math.isfinite(time[n]) and -b.max_lead <= lag <= b.max_lag and stamp[n] > last_stamp[n]
                and stamp[n] > 0.0):
            return False
        for j in range(len(joints)):
            if not (math.isfinite(target[n, j]) and math.isfinite(position[n, j]) and math.isfinite(velocity[n, j])
                    and abs(position[n, j] - joints[j].middle) <= joints[j].half
                    and abs(velocity[n, j]) <= joints[j].too_fast):
                return False
        if b.oriented:
            level = quaternion[n, 0]**2 + quaternion[n, 1]**2
            norm = level + quaternion[n, 2]**2 + quaternion[n, 3]**2
            if not (b.shortest < norm < b.longest and level <= b.tilt * norm):
                return False
        if b.turning and not turn[n, 0]**2 + turn[n, 1]**2 + turn[n, 2]**2 <= b.turn:
            return False
        if b.height:
            if math.isnan(base[n, 2]):
                if b.required or seen[0, n]:
                    return False
            elif not (seen[0, n] and b.lowest <= base[n, 2] <= b.highest):
                return False
        if b.contacts:
            missing, most = 0, 0.0
            for k in frames:
                missing += math.isnan(force[n, k])
                most = max(most, force[n, k])
            if missing:
                if b.required or seen[1, n] or missing < len(frames):
                    return False
            elif not (seen[1, n] and b.loaded <= most <= b.contact_force):
                return False
    return True
