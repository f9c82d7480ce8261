"""The command line: train, tune, rollouts, export, evaluate, import, inspect, parity, deploy, demo, list, bench,
doctor.

Results go to stdout (``--json``: one JSON object and nothing else), progress and errors to stderr. Exit codes: 0 done,
1 done but the result is bad, 2 the user can mend it, 130 interrupted.

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from rl_robot_control.cli import learning, policies, robots, tools  # noqa: F401, they add their commands
from rl_robot_control.cli.app import app
from rl_robot_control.cli.common import KINDS, PROFILE

__all__ = ['KINDS', 'PROFILE', 'app']
