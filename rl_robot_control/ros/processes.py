"""Starts, watches and stops node processes; importable without rclpy.

Each node runs in its own session, so that Ctrl-C reaches it once (from here), dies with its parent on Linux, writes to
a log file, and is stopped by SIGINT, then SIGTERM, then SIGKILL.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rl_robot_control.errors import BackendError, BackendTimeoutError, ConfigurationError, RobotControlError
from rl_robot_control.ros.middleware import keep_to_this_machine

PARENT_VARIABLE = 'RL_ROBOT_CONTROL_PARENT_PID'
# Participants of domain d use UDP ports from 7400 + 250·d on; above domain 101 those are Linux's ephemeral ports.
DOMAINS = range(1, 102)
_ONE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'), '1')
_PR_SET_PDEATHSIG = 1


def require_rclpy() -> None:
    """Check that the ROS 2 client library is there.

    Raises:
        RobotControlError: It is not; the message says how to get it.
    """
    if importlib.util.find_spec('rclpy') is None:
        raise RobotControlError(
            "the ROS 2 client library 'rclpy' is not installed for this Python. Either source your ROS 2 installation "
            '(source /opt/ros/<distribution>/setup.bash) or install the wheels: pip install "rl_robot_control[ros]".')


def die_with_parent() -> None:
    """Called by a node at its start: end it when the process that started it ends, however that ends.

    Does nothing where no ``NodeGroup`` started it, or the system is not Linux.
    """
    parent = os.environ.get(PARENT_VARIABLE, '')
    if not parent or not sys.platform.startswith('linux'):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the call above
        sys.exit(1)


class Interrupts:
    """What Ctrl-C does in a node: raises ``KeyboardInterrupt`` in the main thread, until ``ending`` is set.

    An attribute and not a function, because Python runs a handler at the next call or turn of a loop: one that comes in
    at that moment would leave the very function that was to ignore it. Make it before ``rclpy.init``, whose own handler
    passes the signal on to this one.
    """

    def __init__(self) -> None:
        self.ending = False
        if callable(signal.getsignal(signal.SIGINT)):  # else the process was started to ignore it
            signal.signal(signal.SIGINT, self)
            # without it the interpreter's end brings back the default handler, which kills
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)

    def __call__(self, *_: object) -> None:
        if not self.ending:
            raise KeyboardInterrupt


class Domain:
    """A ROS domain that no other run on this machine uses, held until ``release``."""

    def __init__(self) -> None:
        given = os.environ.get('ROS_DOMAIN_ID')
        self._lock: IO[str] | None = None
        self.id = _given_domain(given) if given else self._lock_free_one()

    def release(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _lock_free_one(self) -> int:
        start = os.getpid() % len(DOMAINS)  # two runs that start at once probe different domains first
        for domain in [*DOMAINS[start:], *DOMAINS[:start]]:
            lock = _lock(domain)
            if lock is None:
                continue
            if _unused(domain):
                self._lock = lock
                return domain
            lock.close()
        raise RobotControlError(f'all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use on this machine; end '
                                'other ROS processes or set ROS_DOMAIN_ID.')


class NodeProcess:
    """One running node; made by ``NodeGroup.start``."""

    def __init__(self, name: str, process: subprocess.Popen, log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    @property
    def pid(self) -> int:
        """Process id, which is the process group's too."""
        return self.process.pid

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the node's process group; nothing happens where it has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def last_words(self, lines: int = 12) -> str:
        """The end of its log."""
        try:
            return '\n'.join(self.log.read_text(errors='replace').splitlines()[-lines:])
        except OSError:
            return ''


class NodeGroup:
    """Node processes that end together; a context manager.

    Args:
        log_directory: Folder for ``<name>.log`` files; made if missing. None: a temporary one.
        namespace: Namespace of all nodes, or empty.
    """

    def __init__(self, log_directory: Path | None = None, namespace: str = '') -> None:
        require_rclpy()
        self.log_directory = Path(log_directory or tempfile.mkdtemp(prefix='rl_robot_control_'))
        self.log_directory.mkdir(parents=True, exist_ok=True)
        self.namespace = namespace
        self.domain = Domain()
        self.nodes: dict[str, NodeProcess] = {}
        # this process's own participants (RosBackend, recorder) must find the nodes, so it is set here, too
        keep_to_this_machine()
        self.environment = {**os.environ, 'ROS_DOMAIN_ID': str(self.domain.id),
                            PARENT_VARIABLE: str(os.getpid()), 'PYTHONUNBUFFERED': '1',
                            **{k: os.environ.get(k, v) for k, v in _ONE_THREAD.items()}}

    def __enter__(self) -> NodeGroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, name: str, parameters: Mapping[str, Any] | None = None, *, module: str = '',
              parameter_files: Sequence[Path] = (), remappings: Mapping[str, str] | None = None,
              environment: Mapping[str, str] | None = None) -> NodeProcess:
        """Start a node of this package with the interpreter that runs this code.

        Args:
            name: Key of the process and stem of its log; also its module in ``rl_robot_control.nodes`` by default.
            parameters: Values by parameter name.
            module: Another module to run.
            parameter_files: YAML files with parameters, before ``parameters``.
            remappings: New names by old ones.
            environment: Further environment variables.

        Raises:
            BackendError: A node of that name runs already.
        """
        if name in self.nodes and self.nodes[name].running():
            raise BackendError(f"the process '{name}' is running already.")
        command = [sys.executable, '-m', module or f'rl_robot_control.nodes.{name}', '--ros-args']
        for path in parameter_files:
            command += ['--params-file', str(path)]
        for key, value in (parameters or {}).items():
            if isinstance(value, (list, tuple)) and not value:
                continue  # an empty list has no type in ROS; it is every list's default
            command += ['-p', f'{key}:={yaml_value(value)}']
        for old, new in (remappings or {}).items():
            command += ['-r', f'{old}:={new}']
        if self.namespace:
            command += ['-r', f'__ns:=/{self.namespace.strip("/")}']
        log = self.log_directory / f'{name}.log'
        with log.open('ab') as output, deferred_interrupt():  # a process that is there stands in the list, too
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                       env={**self.environment, **(environment or {})}, start_new_session=True)
            self.nodes[name] = NodeProcess(name, process, log)
        return self.nodes[name]

    def check(self) -> None:
        """Check that all nodes run.

        Raises:
            BackendError: One has ended; the message holds the end of its log.
        """
        for node in self.nodes.values():
            if not node.running():
                raise BackendError(f"the process '{node.name}' has ended with code {node.process.returncode}; its log "
                                   f'{node.log} ends with:\n{node.last_words()}')

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
        """Wait for a condition while all nodes run.

        Args:
            condition: Asked every 20 ms.
            what: What is waited for, for the error.
            timeout: [s]

        Raises:
            BackendTimeoutError: The time is over.
            BackendError: A node has ended.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise BackendTimeoutError(f'{what}: not so after {timeout:g} s. Logs are in {self.log_directory}.')
            time.sleep(0.02)

    def stop(self, name: str) -> int:
        """Stop one node and return its exit code."""
        node = self.nodes.pop(name)
        _stop([node])
        return node.process.returncode

    def close(self) -> None:
        """Stop all nodes; a second call does nothing."""
        nodes, self.nodes = list(self.nodes.values()), {}
        _stop(nodes)
        self.domain.release()


class Graph:
    """A silent participant that sees who publishes and serves what; a context manager. Needs rclpy."""

    def __init__(self, domain_id: int, namespace: str = '') -> None:
        import rclpy
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=_no_signal_handlers())
        self.node = rclpy.create_node('graph_watcher', context=self._context, enable_rosout=False,
                                      start_parameter_services=False, namespace=namespace or None)

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has_topic(self, name: str) -> bool:
        """Whether someone publishes the topic (name relative to the namespace)."""
        return self.node.count_publishers(name) > 0

    def has_subscriber(self, name: str) -> bool:
        """Whether someone listens to the topic."""
        return self.node.count_subscribers(name) > 0

    def has_service(self, name: str) -> bool:
        """Whether someone serves the service."""
        return self.node.count_services(name) > 0

    def close(self) -> None:
        """Leave; a second call does nothing."""
        if self._context.ok():
            self.node.destroy_node()
            self._context.try_shutdown()


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Hold a Ctrl-C back until the end of the block.

    The signal is noted, not blocked: a child would inherit the mask, and never hear a Ctrl-C again.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # no handler would raise here
        return
    noted: list[tuple[Any, ...]] = []
    signal.signal(signal.SIGINT, lambda *arguments: noted.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if noted:
        handler(*noted[0])


def yaml_value(value: Any) -> str:
    """A parameter's value for the command line."""
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"  # quoted, or the text '1' would arrive as a number
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(yaml_value(v) for v in value)}]"
    return str(value)


def _no_signal_handlers() -> Any:
    from rclpy.signals import SignalHandlerOptions
    return SignalHandlerOptions.NO


def _stop(nodes: list[NodeProcess]) -> None:
    # A Ctrl-C while this waits must not leave the rest running: the last resort comes in any case.
    try:
        for number, patience in ((signal.SIGINT, 5.0), (signal.SIGTERM, 2.0)):
            for node in nodes:
                if node.running():
                    node.signal(signal.SIGCONT)  # one that was stopped could not react
                    node.signal(number)
            deadline = time.monotonic() + patience
            while any(node.running() for node in nodes) and time.monotonic() < deadline:
                time.sleep(0.01)
    finally:
        for node in nodes:
            node.signal(signal.SIGKILL)
        for node in nodes:
            node.process.wait()


def _given_domain(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 232:
        raise ConfigurationError(f'ROS_DOMAIN_ID is {text!r}; a whole number from 0 to 232 is needed.')
    return int(text)


def _lock(domain: int) -> IO[str] | None:
    import fcntl
    path = Path(tempfile.gettempdir()) / f'rl_robot_control_domain_{domain}.lock'
    try:
        file = path.open('a')
    except OSError:  # another user's
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _unused(domain: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', 7410 + 250 * domain))  # the first participant's unicast discovery port
        except OSError:
            return False
    return True
