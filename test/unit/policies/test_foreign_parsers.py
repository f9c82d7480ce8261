"""Whatever stands in a foreign file: it is read, or refused with a message; nothing else comes out."""

from __future__ import annotations

import copy
import json

import onnx
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import read_policy

from . import test_holosoma, test_mjlab_family, test_sidecar_dialects
from .foreign_files import network, save, save_json

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 40), st.floats(), st.text(max_size=8),
                    st.sampled_from(['.*', 'inf', 'nan', '[1, 2', '1.000', 'left_knee_joint', '-inf;inf']))
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=3),
    st.lists(st.floats(-1, 100), min_size=29, max_size=29)), max_leaves=8)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(path, robot='unitree_g1'):
    """The manifest, or the refusal; anything else is a fault of the reader."""
    try:
        return read_policy(path, robot=robot).manifest
    except PolicyError as error:
        assert str(error) and len(str(error)) < 3000
        return None


CSV_KEYS = sorted(test_mjlab_family.metadata()) + [
    'observation_terms_scale', 'observation_terms_clip', 'observation_terms_history_length', 'anchor_body_name',
    'observation_history_lengths']
CSV_TEXTS = st.one_of(st.text(max_size=30), SCALARS.map(str),
                      st.lists(st.floats(), max_size=30).map(lambda values: ','.join(map(str, values))))
BYTES = st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode('utf-8', 'replace')))


@FEW
@given(key=st.sampled_from(CSV_KEYS), text=CSV_TEXTS)
def test_csv_metadata(tmp_path, key, text):
    data = test_mjlab_family.metadata(**{key: text})
    try:
        path = save(tmp_path / 'p.onnx', network(test_mjlab_family.WIDTH, 29), data)
    except (UnicodeEncodeError, ValueError):
        return  # protobuf holds no such text
    read(path)


@FEW
@given(key=st.sampled_from([*sorted(test_holosoma.metadata()), 'action_scale', 'experiment_config']), value=VALUES)
def test_json_metadata(tmp_path, key, value):
    model = network(test_holosoma.WIDTH, 29, inputs=('actor_obs',), outputs=('action',), opset=13)
    read(save_json(tmp_path / 'p.onnx', model, test_holosoma.metadata(**{key: value})))


def places(data, path=()):
    """Where something stands in nested mappings and lists."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        if len(path) < 4:
            yield from places(value, (*path, key))


SIDECARS = {'deploy.yaml': test_sidecar_dialects.DEPLOY, 'IO_descriptors.yaml': test_sidecar_dialects.ISAAC,
            'config.yaml': test_sidecar_dialects.SAR, 'policy.yaml': test_sidecar_dialects.PLAIN}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(SIDECARS)), value=VALUES, width=st.sampled_from([32, 67, 70, 96]))
def test_yaml_beside_the_policy(tmp_path, data, name, value, width):
    changed = copy.deepcopy(SIDECARS[name])
    *above, last = data.draw(st.sampled_from(list(places(changed))))
    inner = changed
    for key in above:
        inner = inner[key]
    inner[last] = value
    for other in SIDECARS:
        (tmp_path / other).unlink(missing_ok=True)
    try:
        (tmp_path / name).write_text(yaml.dump(changed))
    except UnicodeEncodeError:
        return
    read(save(tmp_path / 'policy.onnx', network(width, 29)))


@FEW
@given(content=BYTES)
def test_any_bytes_as_a_yaml_file(tmp_path, content):
    (tmp_path / 'walk.yaml').write_bytes(content)
    path = tmp_path / 'walk.onnx'
    if not path.exists():
        onnx.save(network(32, 29), str(path))
    assert read(path) is None


@FEW
@given(value=VALUES)
def test_a_manifest_of_our_own(tmp_path, value):
    from rl_robot_control.policies.manifest import MANIFEST_KEY
    model = network(32, 29)
    model.metadata_props.add(key=MANIFEST_KEY, value=json.dumps(value))
    onnx.save(model, str(tmp_path / 'p.onnx'))
    assert read(tmp_path / 'p.onnx') is None
