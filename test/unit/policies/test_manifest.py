"""The manifest: what is written is what is read, and nothing else is accepted."""

import json
import math

import hypothesis
import hypothesis.strategies as st
import pytest

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.manifest import Manifest, is_literal, manifest_to_json, parse_manifest

from .conftest import linear_model, make_interface, make_manifest, make_robot


@pytest.fixture(scope='module')
def manifest(tmp_path_factory):
    return make_manifest(make_robot(tmp_path_factory.mktemp('robot')), linear_model())


def changed(manifest, change):
    """JSON of the manifest after ``change`` was applied to its data."""
    data = json.loads(manifest_to_json(manifest))
    change(data)
    return json.dumps(data)


def test_round_trip_is_exact(manifest):
    text = manifest_to_json(manifest)
    assert parse_manifest(text, 'p') == manifest
    assert manifest_to_json(parse_manifest(text, 'p')) == text


def test_floats_keep_every_digit(manifest):
    third = 1 / 3 + 1e-17
    text = changed(manifest, lambda data: data.update(stiffness=[third, math.nextafter(30.0, 31.0)]))
    assert parse_manifest(text, 'p').stiffness == [third, 30.000000000000004]


def test_json_is_standard(manifest):
    """No NaN or Infinity, which other readers of JSON refuse: unknown values and absent limits are null."""
    def refuse(text):
        raise AssertionError(text)
    data = json.loads(manifest_to_json(manifest), parse_constant=refuse)
    assert data['position_lower'] == [-1.5, None]
    assert data['golden']['states'][0]['state']['base_position'] == [None, None, None]


CASES = {
    'unknown key': (lambda d: d.update(gain=1), "p: unknown key 'gain'"),
    'nearest key': (lambda d: d.update(dampings=1), "did you mean 'damping'"),
    'unknown inner key': (lambda d: d['interface']['action'].update(gain=1), "unknown key 'interface.action.gain'"),
    'missing key': (lambda d: d.pop('damping'), "key 'damping' is missing"),
    'wrong type': (lambda d: d.update(stiffness='hard'), "key 'stiffness' is 'hard'"),
    'newer format': (lambda d: d.update(format_version=3), 'has format 3, this rl_robot_control reads up to 2. Update'),
    'no format': (lambda d: d.pop('format_version'), 'format_version is None, expected 2'),
    'boolean format': (lambda d: d.update(format_version=True), 'format_version is True, expected 2'),
    'gain of zero': (lambda d: d['stiffness'].__setitem__(0, 0), "stiffness of joint 'shoulder' is 0.0, it must be"),
    'negative damping': (lambda d: d['damping'].__setitem__(1, -1), "damping of joint 'elbow' is -1.0"),
    'too few gains': (lambda d: d['stiffness'].pop(), 'stiffness has 1 values for 2 joints'),
    'no joints': (lambda d: d.update(joint_names=[]), 'joint_names or action_joint_names is empty'),
    'joint twice': (lambda d: d.update(joint_names=['elbow', 'elbow']), "joint 'elbow' stands twice in joint_names"),
    'foreign action joint': (lambda d: d.update(action_joint_names=['wrist', 'elbow']), "'wrist' is not in joint"),
    'actions permuted': (lambda d: d.update(action_joint_names=['elbow', 'shoulder']), 'interface.action.joints is'),
    'pose outside limits': (lambda d: d['position_upper'].__setitem__(0, 0.05),
                            r"default position 0.1 rad of joint 'shoulder' lies outside \[-1.5, 0.05\] rad"),
    'term order': (lambda d: d.update(observation_sizes=dict(reversed(d['observation_sizes'].items()))),
                   r"observation_sizes names \['command', "),
    'evil pattern': (lambda d: d['interface']['observations'][0].update(params={'joints': ['(a+)+$']}),
                     r"parameter '\(a\+\)\+\$' of observation term 'joint_position' is a pattern"),
    'commands reversed': (lambda d: d.update(command_lower=[2, 0, 0]), r'command_lower \(2.0, 0.0, 0.0\) exceeds'),
    'no golden vectors': (lambda d: d['golden'].update(observations=[], actions=[]), 'it holds no golden vectors'),
    'no golden states': (lambda d: d['golden'].update(states=[]), 'it holds no golden vectors'),
    'golden pair broken': (lambda d: d['golden'].update(actions=[]), '1 golden observations for 0 golden actions'),
    'golden action too long': (lambda d: d['golden']['actions'][0].append(1), r'has the sizes \(8, 3\), expected'),
    'golden memory too short': (lambda d: d['golden']['states'][0]['memory']['action'].pop(), 'golden state 0 has'),
    'golden state unknown field': (lambda d: d['golden']['states'][0]['state'].update(mood=1.0), "'mood'"),
    'golden state wrong shape': (lambda d: d['golden']['states'][0]['state'].update(joint_position=[0.0]),
                                 r"golden state 0 field 'joint_position' has shape \(1,\), expected \(2,\)"),
    'golden state ragged': (lambda d: d['golden']['states'][0]['state'].update(joint_position=[[0.0], [1.0, 2.0]]),
                            "golden state 0 field 'joint_position' is a ragged list"),
    'hash of the wrong length': (lambda d: d.update(weights_sha256='abc'), "key 'weights_sha256' is 'abc'"),
    'robot that is a path': (lambda d: d.update(robot='../evil.yaml'), "key 'robot' is '../evil.yaml'"),
}


@pytest.mark.parametrize('case', CASES)
def test_refused(manifest, case):
    change, message = CASES[case]
    with pytest.raises(PolicyError, match=message):
        parse_manifest(changed(manifest, change), 'p')


@pytest.mark.parametrize('text, message', [
    ('', 'is not valid JSON'), ('{', 'is not valid JSON'), ('[]', 'is a JSON list, expected an object'),
    ('{"a": NaN}', 'NaN is not a finite number'), ('{"a": 1e999}', '1e999 is not a finite number'),
    ('{"a": -Infinity}', '-Infinity is not a finite number'), ('{"a": 1, "a": 2}', "key 'a' stands twice"),
    ('[' * 100_000, 'is not valid JSON'), ('{"format_version": 1' + '0' * 5000 + '}', 'is not valid JSON'),
    ('{"format_version": "' + 'x' * 10 ** 6 + '"}', 'format_version is'),
])
def test_text_that_is_no_manifest(text, message):
    with pytest.raises(PolicyError, match=message) as caught:
        parse_manifest(text, 'p')
    assert len(str(caught.value)) < 3000


def test_literal_names():
    assert is_literal('left_hip_joint') and is_literal(r'a\.b') and is_literal(r'a\-b')
    assert not is_literal('left_.*') and not is_literal('a|b') and not is_literal('a.b')


def test_value_without_json_form_is_refused(manifest):
    data = json.loads(manifest_to_json(manifest)) | {'training': {'loss': math.inf}}
    with pytest.raises(PolicyError, match='cannot be written as JSON'):
        manifest_to_json(Manifest(**data))


def test_pose_at_the_limit_is_valid(manifest):
    text = changed(manifest, lambda d: d['position_upper'].__setitem__(0, 0.1))
    assert parse_manifest(text, 'p').position_upper == [0.1, None]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from([10 ** 400, '1']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=8)


def accept_or_refuse(text):
    try:
        assert isinstance(parse_manifest(text, 'p'), Manifest)
    except PolicyError:
        pass


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.text() | anything.map(json.dumps) | st.dictionaries(
    st.sampled_from(['format_version', 'robot', 'interface', 'golden', 'joint_names']), anything).map(json.dumps))
def test_garbage_never_raises_anything_but_policy_error(text):
    accept_or_refuse(text)


def places(data, prefix=()):
    """Paths to every value inside nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*prefix, key)
        yield from places(value, (*prefix, key))


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(st.data())
def test_one_spoiled_value_never_raises_anything_but_policy_error(manifest, data):
    spoiled = json.loads(manifest_to_json(manifest))
    *path, last = data.draw(st.sampled_from(sorted(places(spoiled), key=str)))
    inner = spoiled
    for key in path:
        inner = inner[key]
    inner[last] = data.draw(anything)
    accept_or_refuse(json.dumps(spoiled))


def test_interface_settings_survive(manifest):
    """Terms, scales and clips are part of the round trip."""
    assert parse_manifest(manifest_to_json(manifest), 'p').interface == make_interface()
