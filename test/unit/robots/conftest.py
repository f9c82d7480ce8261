"""A two-joint arm as URDF and YAML, to be spoilt by the tests."""

from pathlib import Path

import pytest

URDF = """\
<robot name="arm">
  <link name="base"/>
  <link name="upper"><visual><geometry><box size="1 1 1"/></geometry></visual></link>
  <link name="lower"/>
  <joint name="shoulder" type="revolute">
    <parent link="base"/><child link="upper"/><axis xyz="0 0 1"/>
    <limit lower="-1" upper="2" velocity="3" effort="40"/>
  </joint>
  <joint name="elbow" type="revolute">
    <parent link="upper"/><child link="lower"/><axis xyz="0 0 1"/>
    <limit lower="0" upper="2.5" velocity="5" effort="20"/>
  </joint>
</robot>
"""
YAML = """\
name: arm
urdf: arm.urdf
base: {kind: fixed, link: base}
joints:
  .*: {stiffness: 10, damping: 1, acceleration_limit: 50}
default_pose: {elbow: 0.5}
frames:
  hand: {link: lower}
"""


class Arm:
    """The files of a robot in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.urdf, self.yaml = folder / 'arm.urdf', folder / 'arm.yaml'
        self.urdf.write_text(URDF)
        self.yaml.write_text(YAML)

    def change(self, path: Path, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.fixture
def arm(tmp_path: Path) -> Arm:
    return Arm(tmp_path)
