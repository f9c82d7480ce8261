"""The application that the commands belong to, and what becomes of their errors."""

from __future__ import annotations

import signal
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from rl_robot_control.cli.output import errors
from rl_robot_control.errors import RobotControlError

INTERRUPTED = 130


class Group(TyperGroup):
    """Turns errors that the user can mend into one message."""

    def invoke(self, context: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(context)
        except RobotControlError as error:
            errors().print(f'[red]error:[/red] {escape(str(error))}', soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break the farewell
            errors().print('interrupted.')
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(cls=Group, add_completion=False, no_args_is_help=True, rich_markup_mode='rich',
                  pretty_exceptions_enable=False, context_settings={'help_option_names': ['-h', '--help']},
                  help='Teaches robots by reinforcement learning under a safety shield, and runs what they learnt over '
                       'ROS 2.')
