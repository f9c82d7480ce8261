"""The exporter, on a network of the kind that is trained: normalised, mirrored, two hidden layers."""

import dataclasses

import numpy as np
import onnx
import pytest

torch = pytest.importorskip('torch')

from rl_robot_control.errors import PolicyError  # noqa: E402
from rl_robot_control.learning.export import export_policy  # noqa: E402
from rl_robot_control.policies.gate import read_policy  # noqa: E402
from rl_robot_control.policies.runner import PolicyRunner  # noqa: E402
from rl_robot_control.tasks.interface import ActionSettings, ObservationSettings  # noqa: E402

from .conftest import make_interface, make_robot, make_state  # noqa: E402


class Mirrored(torch.nn.Module):
    """Normalises, and sees the mirror image in one half of the gait."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ELU(), torch.nn.Linear(32, 32),
                                          torch.nn.ELU(), torch.nn.Linear(32, 2))
        self.register_buffer('mean', torch.linspace(-0.1, 0.1, 10))
        self.register_buffer('scale', torch.linspace(0.5, 2, 10))
        self.register_buffer('sides', torch.tensor([1, 0, 2, 3, 4, 5, 6, 7, 8, 9]))
        self.register_buffer('signs', torch.tensor([1., 1, -1, 1, -1, 1, -1, -1, -1, -1]))

    def forward(self, observation):
        mirrored = observation[:, 8:9] < 0
        seen = torch.where(mirrored, observation[:, self.sides] * self.signs, observation)
        action = self.layers(((seen - self.mean) * self.scale).clamp(-5, 5))
        return torch.where(mirrored, action.flip(-1), action)


class Doubled(torch.nn.Module):
    """Wrong number of actions."""

    def forward(self, observation):
        return torch.cat([observation, observation], dim=-1)


def interface(**changes):
    terms = [*make_interface().observations, ObservationSettings(term='gait_phase')]
    return make_interface(observations=terms, **changes)


def export(path, robot, network, **changes):
    random = np.random.default_rng(5)
    values = dict(task='hold', algorithm='ppo', training={'seed': 1, 'return': np.float32(2.5), 'loss': float('nan')},
                  command_lower=(-1, -0.5, -0.3), command_upper=(1, 0.5, 0.3),
                  sample_states=make_state(robot, 12, joint_position=random.uniform(-1, 1, (12, 2))))
    settings = changes.pop('interface', interface(action=ActionSettings(joints=['.*'], scale=0.25)))
    return export_policy(network, settings, robot, path, **(values | changes))


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """Robot, network, path and manifest; exporting takes seconds, so all tests share it."""
    folder = tmp_path_factory.mktemp('export')
    robot = make_robot(folder / 'robot')
    torch.manual_seed(0)
    network = Mirrored().double().train()
    return robot, network, folder / 'policy.onnx', export(folder / 'policy.onnx', robot, network)


def test_file_holds_the_returned_manifest(exported):
    robot, network, path, manifest = exported
    assert read_policy(path).manifest == manifest
    assert list(path.parent.glob('*.onnx')) == [path] and list(path.parent.glob('.*')) == []


def test_network_is_left_as_it_was(exported):
    network = exported[1]
    assert network.training and next(network.parameters()).dtype == torch.float64


def test_patterns_become_names(exported):
    manifest = exported[3]
    assert manifest.interface.action.joints == ['shoulder', 'elbow'] == manifest.action_joint_names


def test_training_is_plain_data(exported):
    assert exported[3].training == {'seed': 1, 'return': 2.5, 'loss': None}


def test_eight_golden_vectors_with_lively_memory(exported):
    golden = exported[3].golden
    assert len(golden.observations) == len(golden.actions) == len(golden.states) == 8
    assert len({state.memory.phase for state in golden.states}) == 8
    # both halves of the gait, so that plain and mirrored network are replayed
    assert {observation[8] < 0 for observation in golden.observations} == {True, False}


def test_no_path_of_the_exporting_machine_is_left(exported):
    content = exported[2].read_bytes()
    assert b'.py' not in content and b'/home' not in content and b'site-packages' not in content
    model = onnx.load_from_string(content)
    assert [entry.key for entry in model.metadata_props] == ['rl_robot_control.manifest']


def test_runner_agrees_with_torch_in_a_batch(exported):
    robot, network, path, _ = exported
    random = np.random.default_rng(8)
    state = make_state(robot, 50, joint_position=random.uniform(-1, 1, (50, 2)))
    command = random.uniform(-0.5, 0.5, (50, 3))
    runner = PolicyRunner(read_policy(path), robot, 50)
    runner.reset(state, phase=random.random(50))
    observation = runner.interface.observe(state, command)
    runner.step(state, command)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(observation)).numpy()
    network.train()
    np.testing.assert_allclose(runner.interface.action, expected, atol=1e-5)


def test_failed_export_keeps_the_old_file(exported, tmp_path):
    path = tmp_path / 'policy.onnx'
    path.write_text('old')
    with pytest.raises(PolicyError, match='a golden vector has the sizes'):
        export(path, exported[0], Doubled())
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_network_of_the_wrong_width_is_refused(exported, tmp_path):
    with pytest.raises(PolicyError, match='the network does not take observations of 8 values'):
        export(tmp_path / 'p.onnx', exported[0], exported[1], interface=make_interface())


def test_diverged_network_is_refused(exported, tmp_path):
    network = Mirrored()
    network.layers[0].weight.data[0, 0] = float('nan')
    with pytest.raises(PolicyError, match='values that are not finite: the training diverged'):
        export(tmp_path / 'p.onnx', exported[0], network)


def test_unmeasured_sample_state_is_refused(exported, tmp_path):
    robot = exported[0]
    state = make_state(robot, base_angular_velocity=np.full((1, 3), np.nan))
    with pytest.raises(PolicyError, match="sample state 0: observation term 'base_angular_velocity' is not finite"):
        export(tmp_path / 'p.onnx', robot, exported[1], sample_states=state)


def test_no_sample_state_is_refused(exported, tmp_path):
    robot = exported[0]
    with pytest.raises(PolicyError, match='at least one sample state'):
        export(tmp_path / 'p.onnx', robot, exported[1], sample_states=make_state(robot).select(slice(0)))


def test_observed_frames_and_joints_are_named(exported, tmp_path):
    """Patterns in an observation's parameters are resolved as well; frame height needs odometry, so it is given."""
    robot = exported[0]
    terms = [ObservationSettings(term='joint_position', params={'joints': ['sh.*']}),
             ObservationSettings(term='frame_height', params={'frames': ['t.p']})]
    state = make_state(robot, frame_position=np.array([[[0.0, 0.0, 0.75]]]))
    manifest = export(tmp_path / 'p.onnx', robot, torch.nn.Linear(2, 2), sample_states=state,
                      interface=make_interface(observations=terms))
    params = [entry.params for entry in manifest.interface.observations]
    assert params == [{'joints': ['shoulder']}, {'frames': ['tip']}]
    # 0.3 - 0.1 above the default; 0.75 m above the floor
    np.testing.assert_allclose(manifest.golden.observations, [[0.2, 0.75]], atol=1e-6)
    more = make_robot(tmp_path / 'more', extra='  root: {link: base}')  # a further frame changes nothing
    PolicyRunner(read_policy(tmp_path / 'p.onnx'), more)


def test_sample_state_is_a_fresh_copy(exported):
    robot, network, path, manifest = exported
    state = manifest.golden.states[0].state
    assert state['base_position'] == [None, None, None] and state['time'] == 7.0
    assert dataclasses.asdict(manifest)['golden']['frame_names'] == ['tip']
