"""URDFs: each fault ends in a message that names the file and the joint or link."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rl_robot_control.errors import RobotControlError, RobotDescriptionError
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.urdf import load_urdf, movable_joints, resolve_uri

from .conftest import URDF

BOX = '<box size="1 1 1"/>'


@pytest.mark.parametrize(('old', 'new', 'message'), [
    (BOX, '<mesh filename="upper.stl"/>', r"arm\.urdf: link 'upper' names the mesh 'upper\.stl', which does not exist"),
    (BOX, '<mesh filename="package://no_such_package/a.stl"/>', r"package 'no_such_package' of .* was not found"),
    (BOX, '<mesh filename="package://example-robot-data/no.stl"/>', r"link 'upper' names the mesh .*no\.stl'"),
    (BOX, '<mesh/>', r"link 'upper' names the mesh '', which does not exist"),
    ('<limit lower="-1" upper="2" velocity="3" effort="40"/>', '', r"arm\.urdf: joint 'shoulder' has no <limit>"),
    ('<child link="upper"/>', '', r"joint 'shoulder' has no <child>"),
    ('lower="-1" upper="2"', 'lower="2" upper="-1"', r"joint 'shoulder' has lower limit 2\.0 and upper limit -1\.0"),
    ('lower="-1" upper="2"', '', r"joint 'shoulder' has lower limit 0\.0 and upper limit 0\.0"),
    ('velocity="3"', '', r"joint 'shoulder' has velocity=None in <limit>; a finite positive number is needed"),
    ('velocity="3"', 'velocity="0"', r"joint 'shoulder' has velocity='0'"),
    ('effort="40"', 'effort="-40"', r"joint 'shoulder' has effort='-40'"),
    ('effort="40"', 'effort="strong"', r"joint 'shoulder' has effort='strong'"),
    ('upper="2"', 'upper="inf"', r"joint 'shoulder' has upper='inf' in <limit>; a finite number is needed"),
    ('upper="2"', 'upper="nan"', r"joint 'shoulder' has upper='nan'"),
    ('type="revolute"', 'type="floating"', r"joint 'shoulder' is of type 'floating'; supported are"),
    ('type="revolute"', '', r"joint 'shoulder' is of type '\?'"),
    ('<robot name="arm">', '<sdf name="arm">', r'arm\.urdf: is not valid XML'),
    ('</robot>', '', r'arm\.urdf: is not valid XML'),
])
def test_fault(arm, old, new, message):
    arm.change(arm.urdf, old, new)
    with pytest.raises(RobotDescriptionError, match=message):
        load_robot(str(arm.yaml))


def test_missing_urdf(arm):
    arm.urdf.unlink()
    with pytest.raises(RobotDescriptionError, match=r'arm\.urdf: cannot be read: No such file'):
        load_robot(str(arm.yaml))


def test_another_root_element(arm):
    arm.urdf.write_text('<sdf/>')
    with pytest.raises(RobotDescriptionError, match=r"the root element is <sdf>, a URDF's is <robot>"):
        load_robot(str(arm.yaml))


def test_continuous_mimic_and_fixed_joints(arm):
    arm.change(arm.urdf, '<joint name="shoulder" type="revolute">', '<joint name="shoulder" type="continuous">')
    arm.change(arm.urdf, '<joint name="elbow" type="revolute">',
               '<joint name="elbow" type="revolute"><mimic joint="shoulder"/>')
    joints = movable_joints(load_urdf(arm.urdf), arm.urdf)
    assert [(joint.name, joint.lower, joint.upper) for joint in joints] == [('shoulder', -float('inf'), float('inf'))]


def test_package_found_beside_the_file(tmp_path):
    """A URDF of an unbuilt ROS package finds its meshes in its own folder."""
    mesh = tmp_path / 'my_robot' / 'meshes' / 'a.stl'
    mesh.parent.mkdir(parents=True)
    mesh.touch()
    urdf = tmp_path / 'my_robot' / 'urdf' / 'a.urdf'
    assert resolve_uri('package://my_robot/meshes/a.stl', relative_to=urdf) == mesh


def test_package_found_on_the_search_path(tmp_path, monkeypatch):
    (tmp_path / 'some_package').mkdir()
    monkeypatch.setenv('ROS_PACKAGE_PATH', str(tmp_path))
    assert resolve_uri('package://some_package/x.urdf') == tmp_path / 'some_package' / 'x.urdf'


ATTRIBUTE = st.sampled_from(['', '0', '-1', '1e400', 'nan', '½', 'package://x', 'file://', '../..', 'shoulder', '\t'])


@st.composite
def spoilt_urdf(draw):
    """The arm's URDF with a piece cut out and an attribute's value replaced."""
    text = URDF
    start, cut = draw(st.integers(0, len(text))), draw(st.integers(0, 9))
    text = text[:start] + draw(st.sampled_from(['', '<', '&', '<mesh filename="x"/>'])) + text[start + cut:]
    parts = text.split('"')
    if len(parts) > 2:
        parts[draw(st.integers(0, (len(parts) - 2) // 2)) * 2 + 1] = draw(ATTRIBUTE)
    return '"'.join(parts).encode()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode('utf-8', 'surrogatepass')),
                 spoilt_urdf()))
def test_garbage_never_raises_anything_else(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'garbage.urdf'
        path.write_bytes(content)
        try:
            joints = movable_joints(load_urdf(path), path)
        except RobotControlError as error:
            assert 'garbage.urdf' in str(error) or 'package' in str(error)
        else:
            assert all(joint.lower < joint.upper and joint.velocity > 0 for joint in joints)
