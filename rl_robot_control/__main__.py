"""``python -m rl_robot_control`` and the console script."""

from rl_robot_control.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name='rl_robot_control')


if __name__ == '__main__':
    main()
