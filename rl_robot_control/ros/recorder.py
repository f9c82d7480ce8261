"""Records the topics of one robot's loop into an MCAP file, which ``ros2 bag`` and Foxglove open too.

Subscribes to ``joint_states``, ``imu``, ``odom``, ``contacts/*``, ``cmd_vel``, ``policy/command``,
``<controller>/commands`` and ``shield/status``. Messages are kept as they came over the wire, with the times of their
publication and reception. The file is complete up to the last second even where the recorder is killed.

    python -m rl_robot_control.ros.recorder --ros-args -p robot:=unitree_g1 -p out:=run.mcap
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from mcap.writer import CompressionType, Writer
from rclpy.event_handler import QoSSubscriptionMatchedInfo, SubscriptionEventCallbacks
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from rl_robot_control.errors import ConfigurationError, RobotControlError
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.interface import Topic
from rl_robot_control.ros.message_text import definition, type_name
from rl_robot_control.ros.parameters import ROBOT_ROWS, Parameter, ParameterTable, declare_robot
from rl_robot_control.ros.processes import Interrupts, die_with_parent

PARAMETERS = ParameterTable('Recorder', (
    *ROBOT_ROWS,
    Parameter(name='out', default='', description='file to write, ending in .mcap; its folder is made'),
    Parameter(name='flush_period', default=1.0, minimum=0.01, maximum=60.0, unit='s',
              description='how much a kill may cost'),
))
# Hears publishers of either reliability, and holds nobody up: a reliable reader would make every writer wait for it.
RECORD_QOS = QoSProfile(depth=500, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)


def loop_topics(robot: RobotModel) -> list[Topic]:
    """The topics that make up a robot's loop."""
    contacts = [interface.contact(name) for name, frame in robot.settings.frames.items() if frame.contact]
    return [interface.JOINT_STATES, interface.IMU, interface.ODOM, *contacts, interface.CMD_VEL,
            interface.POLICY_COMMAND, interface.controller_commands(robot.settings.topics),
            interface.SHIELD_STATUS]


class RecordingFile:
    """An MCAP file under way; a context manager.

    Args:
        path: File to write; its folder is made. A file that is there already is not touched.
        metadata: Text by name, kept in the file.

    Raises:
        ConfigurationError: The file exists, or cannot be made.
    """

    def __init__(self, path: Path, metadata: dict[str, str]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open('xb')
        except FileExistsError:
            raise ConfigurationError(f"recording '{path}' exists already; choose another name or remove it.") from None
        except OSError as error:
            raise ConfigurationError(f"recording '{path}' cannot be written: {error.strerror}.") from error
        self._writer = Writer(self._stream, compression=CompressionType.ZSTD)
        self._writer.start(profile='ros2')
        self._writer.add_metadata('rl_robot_control', metadata)
        self._writer.flush()

    def __enter__(self) -> RecordingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def channel(self, topic: str, message_type: type) -> int:
        """Announce a topic and return its number."""
        schema = self._writer.register_schema(type_name(message_type), 'ros2msg', definition(message_type).encode())
        return self._writer.register_channel(topic, 'cdr', schema, {'offered_qos_profiles': ''})

    def write(self, channel: int, data: bytes, received: int, sent: int, sequence: int) -> None:
        """Add a serialised message.

        Args:
            channel: From ``channel``.
            data: As it came over the wire (CDR).
            received, sent: Times [ns since 1970].
            sequence: The publisher's count, which shows lost messages.
        """
        self._writer.add_message(channel, log_time=received, publish_time=sent, data=data,
                                 sequence=sequence & 0xffffffff)

    def flush(self) -> None:
        """Hand everything so far to the operating system, which a kill of this process does not undo."""
        self._writer.flush()

    def close(self) -> None:
        """Write the index and close; a second call does nothing."""
        if not self._stream.closed:
            self._writer.finish()
            self._stream.close()


class Recorder(Node):
    """Subscribes and writes; see the module."""

    def __init__(self) -> None:
        super().__init__('recorder', enable_rosout=False)
        settings = PARAMETERS.declare(self)
        if not settings.robot or not settings.out.endswith('.mcap'):
            raise ConfigurationError(f"recorder: parameters 'robot' ({settings.robot!r}) and 'out' ({settings.out!r}, "
                                     "ending in .mcap) are needed, e.g. --ros-args -p robot:=unitree_g1 -p "
                                     'out:=run.mcap')
        robot = declare_robot(self)
        topics = robot.settings.topics
        self.file = RecordingFile(Path(settings.out), {
            'robot': robot.name, 'namespace': self.get_namespace(), 'joint_names': ' '.join(robot.joint_names),
            'controller': topics.controller, 'controller_type': topics.controller_type,
            'controller_joints': ' '.join(robot.controller_joints)})
        for topic in loop_topics(robot):
            self._listen(topic)
        self.create_timer(settings.flush_period, self.file.flush)
        self.get_logger().info(f'recording {robot.name} into {settings.out}')

    def _listen(self, topic: Topic) -> None:
        name = self.resolve_topic_name(topic.name)
        channel = self.file.channel(name, topic.type)

        def keep(data: bytes, info: dict[str, Any]) -> None:
            received = info.get('received_timestamp') or time.time_ns()
            self.file.write(channel, bytes(data), received, info.get('source_timestamp') or received,
                            _count(info.get('publication_sequence_number')))

        def tell(info: QoSSubscriptionMatchedInfo) -> None:
            if info.current_count_change > 0:
                self.get_logger().info(f'hears {name}')

        self.create_subscription(topic.type, topic.name, keep, RECORD_QOS, raw=True,
                                 event_callbacks=SubscriptionEventCallbacks(matched=tell))


def _count(sequence: int | None) -> int:
    return sequence if sequence and 0 < sequence < 2**63 else 0  # 0: this middleware does not count


def main() -> int:
    """Record until Ctrl-C or SIGTERM; the process's exit code."""
    die_with_parent()
    interrupts = Interrupts()
    recorder = None
    try:
        rclpy.init(args=sys.argv)
        recorder = Recorder()
        rclpy.spin(recorder)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RobotControlError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    finally:
        interrupts.ending = True  # a second Ctrl-C must not cost the file its index
        if recorder is not None:
            recorder.file.close()
            recorder.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
