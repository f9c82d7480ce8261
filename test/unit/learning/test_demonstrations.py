"""Learning from demonstrations and from a teacher: recordings, behaviour cloning, DAgger, TD3+BC."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from rl_robot_control.cli import app
from rl_robot_control.config import parse_settings
from rl_robot_control.envs import make_vector_env
from rl_robot_control.errors import ConfigurationError, LearningError, PolicyError
from rl_robot_control.learning.export_run import export_run
from rl_robot_control.learning.methods.imitation import Td3Bc, _held_out, _replay
from rl_robot_control.learning.networks import Actor, PolicyNetwork
from rl_robot_control.learning.recording import load_recording, record_rollouts
from rl_robot_control.learning.run_folder import RunFolder
from rl_robot_control.learning.run_policy import run_policy
from rl_robot_control.learning.settings import TrainingSettings
from rl_robot_control.learning.symmetry import Mirror, PhaseMirror
from rl_robot_control.learning.teacher import open_teacher
from rl_robot_control.learning.trainer import train
from rl_robot_control.learning.world import World
from rl_robot_control.policies.gate import read_policy

SIZES = {'joint_position': 4, 'joint_velocity': 4, 'command': 3, 'last_action': 4}  # of reach
D, C, A = 15, 3, 4
EXPERT = np.random.default_rng(5).normal(0, 0.2, (D, A))  # actions per observation


def settings(**changes):
    data = {'robot': 'unitree_g1', 'task': 'reach', 'num_envs': 8, 'steps': 400, 'seed': 3}
    return parse_settings(data | {key: str(value) if key == 'teacher' else value for key, value in changes.items()},
                          TrainingSettings, 'test')


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """A run that has begun to learn."""
    out = tmp_path_factory.mktemp('teacher') / 'run'
    return train(settings(num_envs=32, steps=15000), out).run_folder


@pytest.fixture(scope='module')
def privileged(tmp_path_factory):
    """A run whose policy sees the offset to the target."""
    out = tmp_path_factory.mktemp('privileged') / 'run'
    return train(settings(algorithm='ppo_privileged', num_envs=32, steps=6000), out).run_folder


@pytest.fixture(scope='module')
def file(teacher):
    return record_rollouts(teacher, teacher / 'rollouts.npz', episodes=5, noise=0.2, seed=1).path


@pytest.fixture
def world():
    env = make_vector_env('unitree_g1', 'reach', 2, threads=1)
    yield World(env, 0)
    env.close()


def arrays(episodes=20, length=100):
    """A recording of a linear expert, with noise on what it does."""
    random, rows = np.random.default_rng(1), episodes * length
    observation = random.normal(size=(rows, D))
    label = np.clip(observation @ EXPERT, -3, 3)
    ends = np.arange(rows) % length == length - 1
    return {'observation': observation, 'privileged': np.zeros((rows, C)), 'label': label,
            'action': np.clip(label + 0.1 * random.normal(size=label.shape), -3, 3), 'reward': np.zeros(rows),
            'terminated': np.zeros(rows, dtype=bool), 'truncated': ends, 'following': observation,
            'robot': np.array('unitree_g1'), 'task': np.array('reach'), 'control_period': np.array(0.02),
            'observation_terms': np.array(list(SIZES)), 'observation_sizes': np.array(list(SIZES.values()))}


def write(path, **changes):
    given = {key: value for key, value in (arrays(4, 5) | changes).items() if value is not None}
    np.savez(path, **given)
    return path


def policy_of(run, robots=4):
    """A run's policy as an actor, and a world for it."""
    folder = RunFolder(run)
    env = make_vector_env('unitree_g1', 'reach', robots, threads=1)
    network, world = run_policy(folder.settings(), folder.load(), env)
    return Actor(network, robots), world


def apart(student, teacher, steps=200):
    """Root mean square of how far a student's actions are from its teacher's, where the student goes [-]."""
    (actor, world), asked, errors = policy_of(student), None, []
    asked = open_teacher(teacher, world)
    for _ in range(steps):
        action = actor(world.observation)
        errors.append(np.clip(action, -3, 3) - np.clip(asked(world), -3, 3))
        world.step(action)
    world.env.close()
    return float(np.sqrt(np.mean(np.square(errors))))


# Recordings


def test_a_recording_tells_what_happened(teacher, file, world):
    recording = load_recording(file)
    recording.check_fits(world)
    assert (recording.robot, recording.task, recording.control_period) == ('unitree_g1', 'reach', 0.02)
    assert recording.observation_terms == SIZES
    assert recording.observation.shape == recording.following.shape == (1000, D)  # five episodes of 4 s
    assert recording.privileged.shape == (1000, C) and recording.action.shape == recording.label.shape == (1000, A)
    assert np.bincount(recording.episode).tolist() == [200] * 5
    assert np.flatnonzero(recording.truncated).tolist() == [199, 399, 599, 799, 999] and not recording.terminated.any()
    inside = ~recording.truncated[:-1]
    np.testing.assert_array_equal(recording.following[:-1][inside], recording.observation[1:][inside])
    np.testing.assert_allclose(recording.following[:, 11:], recording.action, atol=1e-6)  # the latest action
    noise = recording.action - recording.label
    assert 0.15 < noise.std() < 0.25
    actor, own = policy_of(teacher)
    np.testing.assert_allclose(actor(recording.observation), recording.label, atol=1e-5)
    own.env.close()


def test_the_same_seed_records_the_same(teacher, file, tmp_path):
    again = record_rollouts(teacher, tmp_path / 'again.npz', episodes=5, noise=0.2, seed=1)
    other = record_rollouts(teacher, tmp_path / 'other.npz', episodes=5, noise=0.2, seed=2)
    assert np.array_equal(again.action, load_recording(file).action)
    assert not np.array_equal(again.action, other.action)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['again.npz', 'other.npz']  # and nothing temporary


def test_what_goes_wrong_while_recording_leaves_the_old_file(teacher, tmp_path, monkeypatch):
    path = write(tmp_path / 'old.npz')
    before = path.read_bytes()

    def cut_off(file, **arrays):
        file.write_bytes(b'half')
        raise KeyboardInterrupt
    monkeypatch.setattr(np, 'savez_compressed', cut_off)
    with pytest.raises(KeyboardInterrupt):
        record_rollouts(teacher, path, episodes=1)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(('arguments', 'message'), [
    (('rollouts.npy', 1, 0.0), "--out is '.*rollouts.npy'; the name of a recording ends in .npz"),
    (('rollouts.npz', 0, 0.0), '--episodes is 0; at least 1 is needed'),
    (('rollouts.npz', 1, -0.1), '--noise is -0.1; give a finite deviation'),
    (('rollouts.npz', 1, float('nan')), '--noise is nan; give a finite deviation')])
def test_nonsense_is_not_recorded(teacher, tmp_path, arguments, message):
    name, episodes, noise = arguments
    with pytest.raises(ConfigurationError, match=message):
        record_rollouts(teacher, tmp_path / name, episodes, noise)


def test_a_folder_without_a_run_is_not_recorded(tmp_path):
    with pytest.raises(ConfigurationError, match='holds no checkpoint'):
        record_rollouts(tmp_path, tmp_path / 'out.npz', 1)


def with_value(name, at, value):
    array = arrays(4, 5)[name]
    array[at] = value
    return {name: array}


@pytest.mark.parametrize(('changes', 'message'), [
    ({'label': None}, "has no array 'label'; record it again with 'rl_robot_control rollouts'"),
    ({'task': None}, "has no array 'task'"),
    ({'action': np.zeros(20)}, "'action' has axes: 1, expected 2"),
    ({'reward': np.zeros(19)}, "'observation' has rows: 20, expected 19"),
    ({'reward': np.array(['a'] * 20)}, "'reward' has numbers: False, expected True"),
    ({'truncated': np.zeros(20)}, "'truncated' has the kind f, expected b"),
    ({'observation': np.zeros((20, 14))}, "'observation' has columns: 14, expected 15"),
    ({'label': np.zeros((20, 3))}, "'label' has columns: 3, expected 4"),
    ({'observation_sizes': np.array([15])}, "'observation_terms' has entries: 4, expected 1"),
    (with_value('observation', (7, 2), np.nan), r"'observation' is nan in row 7 \(1 such values\); it must be finite"),
    (with_value('reward', 3, np.inf), "'reward' is inf in row 3"),
    ({'control_period': np.array(0.0)}, "'control_period' is 0.0 s, it must be positive"),
    (with_value('truncated', 19, False), 'its last episode has no end'),
    ({key: value[:0] for key, value in arrays(4, 5).items() if value.ndim and 'observation_' not in key},
     "'reward' has 0 rows, at least 1 is needed")])
def test_a_wrong_recording_is_refused(tmp_path, changes, message):
    path = write(tmp_path / 'wrong.npz', **changes)
    with pytest.raises(LearningError, match=message) as error:
        load_recording(path)
    assert str(path) in str(error.value)


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="'.*none.npz' does not exist or is no file; make one with"):
        load_recording(tmp_path / 'none.npz')
    path = tmp_path / 'text.npz'
    whole = write(tmp_path / 'whole.npz').read_bytes()
    for content in (b'', b'text', whole[:len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match='text.npz: is no recording, or only a part of one'):
            load_recording(path)
    write(path, robot=np.array({'an': 'object'}, dtype=object))  # would run code when it is read
    with pytest.raises(ConfigurationError, match='is no recording'):
        load_recording(path)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'robot': np.array('unitree_h1')}, "its robot is 'unitree_h1', here it is 'unitree_g1'; give a recording of this"),
    ({'task': np.array('walk')}, "its task is 'walk', here it is 'reach'"),
    ({'control_period': np.array(0.01)}, 'its control period .s. is 0.01, here it is 0.02'),
    ({'observation_terms': np.array(['a', 'b', 'c', 'd'])}, "its observation is {'a': 4.*here it is {'joint_position'"),
    ({'privileged': np.zeros((20, 2))}, 'its number of privileged values is 2, here it is 3'),
    ({'action': np.zeros((20, 3)), 'label': np.zeros((20, 3))}, 'its number of actions is 3, here it is 4'),
    (with_value('action', (0, 1), -5.0), "'action' reaches 5, beyond ±3, the bound of this task's actions")])
def test_a_recording_of_something_else_is_refused(tmp_path, world, changes, message):
    path = write(tmp_path / 'other.npz', **changes)
    with pytest.raises(LearningError, match=message):
        load_recording(path).check_fits(world)
    with pytest.raises(LearningError, match=message):
        train(settings(algorithm='bc', teacher=path), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


# What a run is told to learn from


@pytest.mark.parametrize(('changes', 'message'), [
    ({'algorithm': 'bc'}, "the algorithm 'bc' learns from a recording, and there is none; make one with"),
    ({'algorithm': 'td3_bc'}, "the algorithm 'td3_bc' learns from a recording"),
    ({'algorithm': 'dagger'}, "the algorithm 'dagger' learns from a teacher, and there is none; give the folder"),
    ({'teacher': 'x.npz'}, "--teacher is 'x.npz', but the algorithm 'ppo' learns from the world alone; leave it out"),
    ({'algorithm': 'dagger', 'teacher': 'nowhere'}, "teacher 'nowhere' does not exist; give the folder of a run"),
    ({'algorithm': 'dagger', 'teacher': 'config'}, 'holds no checkpoint')])
def test_the_wrong_teacher_is_refused_before_a_folder_is_made(tmp_path, changes, message):
    with pytest.raises((LearningError, ConfigurationError), match=message):
        train(settings(**changes), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_recording_is_no_teacher_and_a_run_no_recording(teacher, file, tmp_path):
    with pytest.raises(LearningError, match='is neither; give the folder of a run, or an exported .onnx file'):
        train(settings(algorithm='dagger', teacher=file), tmp_path / 'run')
    with pytest.raises(ConfigurationError, match='does not exist or is no file; make one with'):
        train(settings(algorithm='bc', teacher=teacher), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_teacher_of_another_task_is_refused(teacher, tmp_path):
    with pytest.raises(LearningError, match='teacher .*: its control period|teacher .*: its observation'):
        train(settings(algorithm='dagger', task='walk', teacher=teacher), tmp_path / 'run')
    exported = export_run(teacher, tmp_path / 'reach.onnx')
    with pytest.raises(LearningError, match='teacher .*reach.onnx.*: its observation is'):
        train(settings(algorithm='dagger', task='walk', teacher=exported), tmp_path / 'run')


def test_resuming_with_another_teacher_is_refused(file, tmp_path):
    train(settings(algorithm='bc', steps=1, teacher=file), tmp_path / 'run')
    with pytest.raises(LearningError, match="was started with teacher='.*rollouts.npz', not None"):
        train(settings(algorithm='bc', steps=400), tmp_path / 'run', resume=True)


# Behaviour cloning


def test_cloning_recovers_a_linear_expert(tmp_path):
    path = tmp_path / 'linear.npz'
    np.savez(path, **arrays())
    run = train(settings(algorithm='bc', teacher=path, steps=2400), tmp_path / 'run').run_folder
    rows = RunFolder(run).metrics()
    assert rows[-1]['validation_error'] < 0.1 * np.sqrt(np.mean(arrays()['label'] ** 2))
    actor, world = policy_of(run)
    world.env.close()
    observation = np.random.default_rng(9).normal(size=(500, D))
    assert np.sqrt(np.mean((actor(observation) - observation @ EXPERT) ** 2)) < 0.08  # of 0.77: noise is left out


def test_the_last_episodes_are_held_out(tmp_path):
    recording = load_recording(write(tmp_path / 'four.npz'))  # of four episodes a tenth is at least one
    assert np.flatnonzero(_held_out(recording)).tolist() == [15, 16, 17, 18, 19]
    single = {key: value[-5:] for key, value in arrays(4, 5).items() if value.ndim and 'observation_' not in key}
    with pytest.raises(LearningError, match='holds 1 episode; at least 2 are needed.*record more with --episodes'):
        _held_out(load_recording(write(tmp_path / 'one.npz', **single)))


# DAgger and distillation


def test_dagger_is_at_least_as_near_to_its_teacher_as_cloning(teacher, file, tmp_path):
    cloned = train(settings(algorithm='bc', teacher=file, steps=800), tmp_path / 'cloned').run_folder
    student = train(settings(algorithm='dagger', teacher=teacher, steps=1200), tmp_path / 'student').run_folder
    fresh = train(settings(algorithm='bc', teacher=file, steps=1), tmp_path / 'fresh').run_folder
    errors = [apart(run, teacher) for run in (student, cloned, fresh)]
    assert errors[0] <= errors[1] < errors[2], errors
    rows = RunFolder(student).metrics()
    assert rows[0]['teacher_share'] == 1.0 and rows[-1]['teacher_share'] == 0.0
    assert rows[-1]['validation_error'] < rows[0]['validation_error']


def test_an_exported_policy_teaches_the_same(teacher, tmp_path, world):
    one, other = open_teacher(teacher, world), open_teacher(export_run(teacher, tmp_path / 'policy.onnx'), world)
    for _ in range(3):
        np.testing.assert_allclose(one(world), other(world), atol=1e-4)
        world.step(one(world))
    run = train(settings(algorithm='dagger', teacher=tmp_path / 'policy.onnx', steps=400), tmp_path / 'run')
    assert run.steps == 400


def test_a_privileged_teacher_is_distilled(privileged, tmp_path):
    """It is refused on the robot, and its student is not."""
    with pytest.raises(PolicyError, match='this policy sees what a robot does not measure; distil it: train '
                                          '--algorithm dagger --teacher .* --robot unitree_g1 --task reach'):
        export_run(privileged)
    assert not (privileged / 'policy.onnx').exists()
    run = train(settings(algorithm='dagger', teacher=privileged, steps=400), tmp_path / 'run').run_folder
    assert read_policy(export_run(run)).manifest.num_observations == D


def test_a_privileged_policy_sees_more(privileged):
    folder = RunFolder(privileged)
    env = make_vector_env('unitree_g1', 'reach', 2, threads=1)
    network, world = run_policy(folder.settings(), folder.load(), env)
    actor = Actor(network, 2)
    assert actor.privileged and world.seen_by(actor).shape == (2, D + C)
    before = actor(world.seen_by(actor))
    world.privileged = world.privileged + 1.0
    assert not np.allclose(before, actor(world.seen_by(actor)))
    env.close()
    recording = record_rollouts(privileged, privileged / 'rollouts.npz', episodes=1)
    seen = np.concatenate([recording.observation, recording.privileged], axis=1)
    np.testing.assert_allclose(actor(seen), recording.label, atol=1e-5)


def test_a_privileged_policy_is_mirrored_as_a_whole():
    # The phase comes first; mirrored, the observed (2, 3) become (3, 2), the privileged 5 becomes -5 and the action a
    # becomes -a. The core adds all up: of (-1, 2, 3 | 5) it sees (1, 3, 2 | -5), 1, which gives -1.
    mirror = PhaseMirror(0, Mirror(np.array([0, 2, 1]), np.array([-1.0, 1.0, 1.0])),
                         Mirror(np.array([0]), np.array([-1.0])), Mirror(np.array([0]), np.array([-1.0])))

    class Sum(torch.nn.Module):
        def forward(self, seen):
            return seen.sum(dim=1, keepdim=True)
    network = PolicyNetwork(Sum(), mirror, privileged=True)
    seen = torch.tensor([[-1.0, 2.0, 3.0, 5.0], [1.0, 2.0, 3.0, 5.0]])
    assert network(seen).tolist() == [[-1.0], [11.0]]


# TD3+BC


def test_td3_bc_fills_its_buffer_from_the_file(file, world):
    from rl_robot_control.learning.methods.sb3 import WorldVecEnv
    from rl_robot_control.learning.normalizer import Normalizer
    recording = load_recording(file)
    model = Td3Bc('MlpPolicy', WorldVecEnv(world, Normalizer(D)), alpha=2.5, buffer_size=1, device='cpu')
    buffer = _replay(recording, model)
    assert buffer.size() == 1000
    np.testing.assert_allclose(3 * buffer.actions[:, 0], recording.action, atol=1e-6)  # ±3 becomes ±1
    sample = buffer.sample(500)
    assert not sample.dones.any()  # time-outs are bootstrapped
    recording.terminated[0], recording.truncated[:] = True, False
    assert _replay(recording, model).dones.sum() == 1


def test_td3_bc_stays_close_to_the_recording_and_takes_no_step_to_learn_from(file, tmp_path):
    run = train(settings(algorithm='td3_bc', teacher=file, steps=800), tmp_path / 'run').run_folder
    rows = RunFolder(run).metrics()
    assert [row['steps'] for row in rows] == [200, 400, 600, 800]
    assert rows[-1]['imitation_loss'] < rows[0]['imitation_loss'] and np.isfinite(rows[-1]['critic_loss'])
    assert read_policy(export_run(run)).manifest.algorithm == 'td3_bc'


# Checkpoints


@pytest.mark.parametrize('algorithm', ['bc', 'dagger', 'td3_bc'])
def test_a_run_resumes_with_what_it_knew(teacher, file, tmp_path, algorithm):
    given = {'algorithm': algorithm, 'teacher': teacher if algorithm == 'dagger' else file}
    train(settings(**given, steps=200), tmp_path / 'run')
    saved = RunFolder(tmp_path / 'run').load()
    resumed = train(settings(**given, steps=400), tmp_path / 'run', resume=True)
    assert resumed.steps == 400
    rows = RunFolder(tmp_path / 'run').metrics()
    assert rows[1]['imitation_loss'] < rows[0]['imitation_loss']
    if algorithm == 'dagger':
        known = RunFolder(tmp_path / 'run').load()['memory']['values']['observation']
        assert len(saved['memory']['values']['observation']) == 200 and len(known) == 400
    whole = train(settings(**given, steps=200), tmp_path / 'again')
    again = RunFolder(whole.run_folder).load()['learner']
    for one, other in zip(tensors(saved['learner']), tensors(again), strict=True):
        assert torch.equal(one, other)  # the same seed learns the same


def tensors(value):
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in tensors(item)]
    return [value] if isinstance(value, torch.Tensor) else []


def test_two_workers_clone_together(file, tmp_path):
    run = train(settings(algorithm='bc', teacher=file, workers=2, steps=200), tmp_path / 'run')
    assert run.steps == 200


# The command line


def test_rollouts_and_teacher_on_the_command_line(teacher, tmp_path):
    def run(*words):
        return CliRunner().invoke(app, [str(word) for word in words])
    recorded = run('rollouts', teacher, '--out', tmp_path / 'a.npz', '--episodes', 2, '--noise', 0.1, '--json')
    assert recorded.exit_code == 0, recorded.output
    assert json.loads(recorded.stdout)['steps'] == 400
    trained = run('train', '--robot', 'unitree_g1', '--task', 'reach', '--algorithm', 'bc', '--num-envs', 2,
                  '--steps', 1, '--teacher', tmp_path / 'a.npz', '--out', tmp_path / 'run', '--json')
    assert trained.exit_code == 0, trained.output
    stored = RunFolder(tmp_path / 'run').settings()
    assert stored.teacher == str(tmp_path / 'a.npz')
    resumed = run('train', '--resume', '--out', tmp_path / 'run', '--steps', 60, '--json')
    assert json.loads(resumed.stdout)['steps'] == 100
    assert dataclasses.replace(stored, steps=60) == RunFolder(tmp_path / 'run').extend(
        dataclasses.replace(stored, steps=60))
