"""Lists of joints that must hold each joint of a robot once, or even in its very order."""

from __future__ import annotations

from collections.abc import Sequence

from rl_robot_control.errors import RobotDescriptionError, UnknownNameError


def check_same_joints(found: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Refuse a list that does not hold each joint once.

    Args:
        found: The list.
        wanted: (J,) the robot's joints.
        where: Whose list it is, for the message.

    Raises:
        UnknownNameError: It holds a joint that the robot does not have.
        RobotDescriptionError: A joint is missing or there twice.
    """
    for i, name in enumerate(found):
        if name not in wanted:
            raise UnknownNameError('joint', name, wanted, where=where)
        if name in found[:i]:
            raise RobotDescriptionError(f"{where}: joint '{name}' stands there twice; each joint of the robot stands "
                                        'there once.')
    missing = [name for name in wanted if name not in found]
    if missing:
        more = f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''
        raise RobotDescriptionError(f"{where}: joint '{missing[0]}'{more} is missing; each of the robot's "
                                    f'{len(wanted)} joints stands there once.')


def check_order(found: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Refuse a list of joints that is not, in its very order, what a controller's values are for.

    Args:
        found: Names that a file or a controller has.
        wanted: (J,) joints in the order in which the shield sends values.
        where: Whose list it is, for the message.

    Raises:
        UnknownNameError: As for ``check_same_joints``.
        RobotDescriptionError: Likewise, and where the order differs; names the first joint that is wrong.
    """
    check_same_joints(found, wanted, where)
    for i, (there, here) in enumerate(zip(found, wanted, strict=True)):
        if there != here:
            raise RobotDescriptionError(
                f"{where}: joint {i} is '{there}', and the shield sends the value of '{here}' there. Give the joints "
                "in the robot's order, or name the controller's own order under 'joints' in a file of config/hardware.")
