"""How processes on one machine reach each other, where nobody has said otherwise; importable without rclpy."""

from __future__ import annotations

import os

from rl_robot_control.config import config_directory

REACH = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
PROFILE = 'FASTDDS_DEFAULT_PROFILES_FILE'
_OLD_PROFILE = 'FASTRTPS_DEFAULT_PROFILES_FILE'


def keep_to_this_machine() -> None:
    """Set this process's environment, before its first participant, so that it and its children use the loop-back only.

    With Fast DDS, the middleware of most ROS 2 distributions, that is the profile ``config/dds/loopback.xml``, which
    says why it does without shared memory. A profile or a discovery range that the user has set stays in force.
    """
    given = os.environ.get(PROFILE) or os.environ.get(_OLD_PROFILE)
    fast_dds = os.environ.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp').startswith('rmw_fastrtps')
    if fast_dds and not given and os.environ.get(REACH, 'LOCALHOST') == 'LOCALHOST':
        os.environ[PROFILE] = str(config_directory() / 'dds' / 'loopback.xml')
        os.environ[REACH] = 'SYSTEM_DEFAULT'  # any other value makes rmw_fastrtps replace the profile's transports
    os.environ.setdefault(REACH, 'LOCALHOST')
