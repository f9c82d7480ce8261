"""Sends one message to itself over DDS, to see whether the middleware works on this machine."""

from __future__ import annotations

import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Int64

from rl_robot_control.errors import BackendTimeoutError
from rl_robot_control.ros.interface import LOOP_QOS
from rl_robot_control.ros.middleware import keep_to_this_machine
from rl_robot_control.ros.processes import Domain

ADVICE = ('Is a firewall in the way of UDP on the loop-back interface, or are RMW_IMPLEMENTATION, '
          'ROS_AUTOMATIC_DISCOVERY_RANGE or a DDS profile set to something unusual?')


def round_trip(timeout: float = 10.0) -> float:
    """Time for a message from one participant to another one of this process [s].

    Raises:
        BackendTimeoutError: None came within ``timeout`` [s].
    """
    keep_to_this_machine()
    domain, received = Domain(), []
    contexts = [rclpy.Context() for _ in range(2)]
    try:
        for context in contexts:
            rclpy.init(context=context, domain_id=domain.id, signal_handler_options=SignalHandlerOptions.NO)
        speaker, listener = (
            rclpy.create_node(name, context=context, enable_rosout=False, start_parameter_services=False)
            for name, context in zip(('doctor_speaker', 'doctor_listener'), contexts))
        publisher = speaker.create_publisher(Int64, 'doctor/loopback', LOOP_QOS)
        listener.create_subscription(Int64, 'doctor/loopback', lambda message: received.append(message.data), LOOP_QOS)
        executor = SingleThreadedExecutor(context=contexts[1])
        executor.add_node(listener)
        return _exchange(publisher, executor, received, timeout)
    finally:
        for context in contexts:
            context.try_shutdown()
        domain.release()


def _exchange(publisher, executor, received: list[int], timeout: float) -> float:
    deadline = time.monotonic() + timeout
    while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    sent = time.monotonic()
    publisher.publish(Int64(data=1))
    while not received and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    if not received:
        raise BackendTimeoutError(f"the topic 'doctor/loopback' brought no message within {timeout:g} s. {ADVICE}")
    return time.monotonic() - sent
