"""`ros2 launch` for real; launch, launch_ros and ros2cli come with a ROS 2 installation, and not from pip."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MISSING = [name for name in ('launch', 'launch_ros', 'ros2cli', 'ros2launch') if importlib.util.find_spec(name) is None]
REASON = f'{", ".join(MISSING)} come with a ROS 2 installation; pip has no wheels of them'
HERE = Path(__file__).parent
STOP_TIMEOUT = 30.0  # [s]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and MISSING:
            item.add_marker(pytest.mark.skip(reason=REASON))


def ros2(*words: str) -> list[str]:
    """The command line `ros2 ...` with the interpreter that runs the tests."""
    return [sys.executable, '-c', "import sys; sys.argv[0] = 'ros2'; from ros2cli.cli import main; sys.exit(main())",
            *words]


class Launched:
    """A running `ros2 launch`, in a session of its own, as in a terminal."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process, self.log = process, log

    def running(self) -> None:
        """Check that it runs; a ``watch`` for ``Operator``."""
        assert self.process.poll() is None, f'the launch has ended with {self.process.returncode}:\n{self.output()}'

    def output(self) -> str:
        """What it and its nodes have said."""
        return self.log.read_text(errors='replace')

    def interrupt(self) -> int:
        """Ctrl-C: the terminal sends it to the whole group; the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(STOP_TIMEOUT)

    def survivors(self) -> list[str]:
        """Command lines of processes of its session that still live."""
        found = []
        for entry in Path('/proc').glob('[0-9]*'):
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (entry / 'stat').read_text().rpartition(')')[2].split()
                if int(fields[3]) == self.process.pid and fields[0] != 'Z':
                    found.append((entry / 'cmdline').read_text().replace('\0', ' '))
        return found


@pytest.fixture
def domain(monkeypatch) -> Iterator[int]:
    """A ROS domain that nobody else uses."""
    from rl_robot_control.ros.middleware import keep_to_this_machine
    from rl_robot_control.ros.processes import Domain
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    keep_to_this_machine()
    own = Domain()
    yield own.id
    own.release()


@pytest.fixture
def launch(tmp_path, domain) -> Iterator:
    """Start `ros2 launch rl_robot_control NAME.launch.py ARGUMENTS`; whatever happens, nothing of it is left."""
    started = []

    def start(name: str, *arguments: str) -> Launched:
        log = tmp_path / f'{name}_{len(started)}.log'
        environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(tmp_path / 'ros'),
                       'PYTHONUNBUFFERED': '1'}
        with log.open('wb') as file:
            process = subprocess.Popen(ros2('launch', 'rl_robot_control', f'{name}.launch.py', *arguments),
                                       cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                       env=environment, start_new_session=True)
        started.append(Launched(process, log))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait(STOP_TIMEOUT)
        deadline = time.monotonic() + STOP_TIMEOUT
        while one.survivors() and time.monotonic() < deadline:
            time.sleep(0.05)
