"""What every node's ``main`` does: start, spin, end cleanly."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from rl_robot_control.errors import RobotControlError
from rl_robot_control.ros.processes import Interrupts, die_with_parent

LONGEST_WAIT = 0.1  # of one turn of the executor [s]


def make_executor(context: Context | None = None) -> Any:
    """The fastest executor that this rclpy has.

    The events executor (Kilted and later) passes a message in a quarter of the time of the single-threaded one. It does
    not wake from an unbounded wait when the context shuts down, so spin it with ``spin_once(timeout_sec=...)`` only.
    """
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def spin(node: Node, executor: Any) -> None:
    """Serve a node's callbacks until the context shuts down."""
    while node.context.ok():
        executor.spin_once(timeout_sec=LONGEST_WAIT)


def run_node(factory: Callable[[], Node], loop: Callable[[Any, Any], None] = spin) -> int:
    """Run a node until Ctrl-C, SIGTERM or shutdown; the whole of a node's ``main``.

    Args:
        factory: Makes the node.
        loop: Called with the node and its executor; returns or raises when the node is to end.

    Returns:
        The exit code: 0 after an orderly end, 1 after an error that its reader can mend.
    """
    die_with_parent()
    interrupts = Interrupts()
    node = executor = None
    code = 0
    try:
        rclpy.init()
        node = factory()
        executor = make_executor()
        executor.add_node(node)
        gc.collect()
        gc.freeze()  # what exists now stays: a collection in the loop need not look at it
        loop(node, executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RobotControlError as error:
        print(f'error: {error}', file=sys.stderr, flush=True)
        code = 1
    except Exception:
        interrupts.ending = True
        if rclpy.ok():
            raise
        # else a signal has shut the context down in the middle of a call, e.g. of a publication
    finally:
        # Ctrl-C may arrive twice (ros2 launch passes on what the terminal has sent already), and the context may shut
        # down for it before Python hears of it: not in the middle of this.
        interrupts.ending = True
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return code
