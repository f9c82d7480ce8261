"""Malformed, hostile and mismatched files: each is refused with its own message before it could move a robot."""

from __future__ import annotations

import copy
import dataclasses
import os
import re

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from rl_robot_control.errors import RobotControlError
from rl_robot_control.policies import session
from rl_robot_control.policies.gate import MAX_FILE_BYTES, read_policy
from rl_robot_control.policies.manifest import MANIFEST_KEY
from rl_robot_control.policies.runner import PolicyRunner
from rl_robot_control.robots import load_robot

from .conftest import BIAS, WEIGHTS, linear_model, make_manifest, make_robot, write_policy
from .foreign_files import network, save_json

# How far a file comes: GATE, no runtime is given it; PROOF, a runtime evaluates it, no robot is known; ROBOT, it is
# read, and does not fit the robot or the loop.
GATE, PROOF, ROBOT = 'gate', 'proof', 'robot'
REFUSED = []  # (name, stage, message, build), see refused()
FLOAT, INF, NAN = TensorProto.FLOAT, float('inf'), float('nan')


def refused(name, stage, message):
    """Add a file to the table: ``build(folder, robot)`` writes it and gives its path, or (path, options)."""
    def add(build):
        REFUSED.append((name, stage, message, build))
        return build
    return add


def port(name, *shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, list(shape))


def constant(name, values, kind=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype=kind), name)


# Ways to write a file


def native(change=lambda content: content):
    """A file of our own, whose bytes are changed."""
    def build(folder, robot):
        path = write_policy(folder / 'policy.onnx', linear_model(), make_manifest(robot, linear_model()))
        path.write_bytes(change(path.read_bytes()))
        return path
    return build


def flipped(marker, offset, bit):
    """One bit is flipped, so many bytes after a marker's beginning."""
    def change(content):
        place = content.index(marker) + offset
        return content[:place] + bytes([content[place] ^ bit]) + content[place + 1:]
    return change


def content(data):
    """A file of these bytes."""
    def build(folder, robot):
        (folder / 'policy.onnx').write_bytes(data)
        return folder / 'policy.onnx'
    return build


PLAIN = {'joints': ['shoulder', 'elbow'], 'stiffness': [20.0, 30.0], 'damping': [2.0, 1.0], 'action': {'scale': 0.25},
         'control_rate': 50.0, 'observations': ['joint_position', 'base_angular_velocity', 'command'],
         'command_lower': [-1.0, -0.5, -0.3], 'command_upper': [1.0, 0.5, 0.3]}


def plain(model=None, text=None, options=None, /, **changes):
    """A plain ONNX file with a YAML beside it; ``...`` removes a key."""
    data = {key: value for key, value in (copy.deepcopy(PLAIN) | changes).items() if value is not ...}

    def build(folder, robot):
        made = model() if callable(model) else linear_model() if model is None else model
        onnx.save(made, str(folder / 'policy.onnx'))
        (folder / 'policy.yaml').write_text(text or yaml.safe_dump(data))
        return folder / 'policy.onnx', options or {}
    return build


def observing(*entries):
    """The usual joints, another observation."""
    return plain(observations=list(entries))


def with_nodes(*nodes, initializers=()):
    gemm = helper.make_node('Gemm', ['observation', 'weights', 'bias'], ['plain'], transB=1)
    return linear_model(nodes=[gemm, *nodes], initializers=initializers)


def edited(change, **ports):
    """The linear model, changed in place."""
    model = linear_model(**ports)
    change(model)
    return model


HOLOSOMA = {'dof_names': ['shoulder', 'elbow'], 'kp': [20.0, 30.0], 'kd': [2.0, 1.0]}


def holosoma(width=19, raw=None, **changes):
    """A file of holosoma for two joints: 2 + 3 + 1 + 2 + 2 + 2 + 2 + 3 + 2 = 19 values in nine terms."""
    def build(folder, robot):
        model = network(width, 2, inputs=('actor_obs',), outputs=('action',), opset=13)
        data = {key: value for key, value in (HOLOSOMA | changes).items() if value is not ...}
        path = save_json(folder / 'policy.onnx', model, data)
        for key, text in (raw or {}).items():
            model = onnx.load(str(path))
            next(entry for entry in model.metadata_props if entry.key == key).value = text
            onnx.save(model, str(path))
        return path
    return build


MOTION = {'q': np.zeros((3, 2)), 'v': np.zeros((3, 2)), 'turn': np.tile([0.0, 0.0, 0.0, 1.0], (3, 1))}
REFERENCE = {'joint_position': 'q', 'joint_velocity': 'v', 'anchor_quaternion': 'turn'}


def tracker(time_type=FLOAT, **changes):
    """The linear model beside a motion of three instants."""
    model = linear_model(input_shape=[1, 8], output_shape=[1, 2])
    graph = model.graph
    graph.input.append(port('time', 1, 1, kind=time_type))
    graph.initializer.extend([constant('row', [-1], np.int64), constant('first', 0.0), constant('last', 2.0)])
    graph.node.extend([helper.make_node('Cast', ['time'], ['real'], to=FLOAT),
                       helper.make_node('Reshape', ['real', 'row'], ['flat']),
                       helper.make_node('Clip', ['flat', 'first', 'last'], ['clamped']),
                       helper.make_node('Cast', ['clamped'], ['index'], to=TensorProto.INT64)])
    for name, values in (MOTION | changes).items():
        values = np.asarray(values)
        graph.initializer.append(constant(f'{name}_values', values))
        graph.node.append(helper.make_node('Gather', [f'{name}_values', 'index'], [name], axis=0))
        graph.output.append(port(name, 1, *values.shape[1:]))
    return model


def tracking(model=None, link='upper', **changes):
    names = {'observation': 'observation', 'action': 'action', 'time_step': 'time', 'reference': REFERENCE} | changes
    return plain(model or tracker(), anchor_link=link, network=names,
                 observations=['motion_joints', 'joint_position', 'joint_velocity'])


def recurrent(node, *, kind=FLOAT, shape=(1, 1, 2), following=(1, 1, 2), following_kind=FLOAT):
    """The linear model beside a state ``h`` whose next value is ``h_next``."""
    def build():
        model = linear_model(input_shape=[1, 8], output_shape=[1, 2])
        model.graph.input.append(port('h', *shape, kind=kind))
        model.graph.node.append(node)
        model.graph.output.append(port('h_next', *following, kind=following_kind))
        return model
    names = {'observation': 'observation', 'action': 'action', 'states': {'h': 'h_next'}}
    return plain(build, network=names)


# No ONNX file


refused('no file', GATE, r"policy.onnx' does not exist; give the path")(lambda folder, robot: folder / 'policy.onnx')


@refused('folder', GATE, r"policy.onnx' is a folder; give the path")
def _(folder, robot):
    (folder / 'policy.onnx').mkdir()
    return folder / 'policy.onnx'


@refused('pipe', GATE, r"policy.onnx' is no regular file; give the path")
def _(folder, robot):
    os.mkfifo(folder / 'policy.onnx')
    return folder / 'policy.onnx'


@refused('larger than 64 MiB', GATE, r'the file is larger than 67108864 bytes, the most that is read')
def _(folder, robot):
    path = folder / 'policy.onnx'
    path.touch()
    os.truncate(path, MAX_FILE_BYTES + 1)  # sparse: it takes no room
    return path


LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n'
refused('empty', GATE, 'the file is empty')(content(b''))
refused('text', GATE, r"is not an ONNX file, but text that begins with 'Dear robot, please w'")(
    content(b'Dear robot, please walk.\n'))
refused('pointer of Git LFS', GATE, r"but a pointer of Git LFS to one: fetch the file itself with 'git lfs pull'")(
    content(LFS))
refused("PyTorch's checkpoint", GATE, "but a ZIP archive, such as PyTorch's checkpoints")(content(b'PK\x03\x04' * 9))
refused('truncated before the graph', GATE, 'holds no ONNX graph')(native(lambda data: data[:2]))
refused('truncated in the graph', GATE, 'is not an ONNX file, or only a part of one')(native(lambda data: data[:200]))
refused('truncated before the manifest', GATE, r'neither has .* Its metadata: none; its inputs: observation')(
    native(lambda data: data[:len(linear_model().SerializeToString())]))  # the manifest comes last

# One bit: of the float32 0.5, whose last byte is 0x3f; of the 2 rows of the weights, which become 3; of a letter, a
# bracket and the first digit of a number.

refused('bit of a weight', GATE, 'weights and manifest do not belong together')(
    native(flipped(BIAS.tobytes(), 3, 0x40)))
refused('bit of a shape', GATE, r"data of tensor 'weights' does not fit its shape \[3, 8\]")(
    native(flipped(b'\x08\x02\x08\x08\x10\x01', 1, 0x01)))
refused('bit of a key of the manifest', GATE, "unknown key 'dampinf'; did you mean 'damping'")(
    native(flipped(b'"damping"', 7, 0x01)))
refused('bit of a bracket of the manifest', GATE, 'the manifest is not valid JSON: Expecting value: line 1 column 1')(
    native(flipped(b'{"format', 0, 0x01)))
refused('bit of a golden action', ROBOT, "golden vector 0: the action for joint 'shoulder' differs")(
    native(flipped(b'"actions": [[', 13, 0x02)))
refused('a digit of a gain', ROBOT, "stiffness of joint 'shoulder' is 0.2 N·m/rad in the policy and 20 N·m/rad")(
    native(lambda data: data.replace(b'"stiffness": [20.0', b'"stiffness": [0.20')))


# Hostile graphs

def external(tensor):
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='../../etc/shadow')


BRANCH = helper.make_graph([helper.make_node('Identity', ['plain'], ['chosen'])], 'branch', [], [port('chosen', 1, 2)])
FUNCTION = helper.make_function('mine', 'f', ['x'], ['y'], [helper.make_node('Neg', ['x'], ['y'])],
                                [helper.make_opsetid('', 20)])
SUM = [helper.make_node('ReduceSum', ['filled'], ['sum'], keepdims=0),
       helper.make_node('Add', ['plain', 'sum'], ['action'])]

refused('external data', GATE, "tensor 'weights' lies in another file")(
    plain(edited(lambda model: external(model.graph.initializer[0]))))
refused('domain of the model', GATE, "the model imports the operator domain 'evil'")(plain(linear_model(domain='evil')))
refused('domain of an operator', GATE, "operator 'Gelu' is of the domain 'com.microsoft'")(
    plain(with_nodes(helper.make_node('Gelu', ['plain'], ['action'], domain='com.microsoft'))))
refused('control flow', GATE, "operator 'If' is not allowed in a policy")(
    plain(with_nodes(helper.make_node('If', ['condition'], ['action'], then_branch=BRANCH, else_branch=BRANCH))))
refused('loop', GATE, "operator 'Loop' is not allowed in a policy")(
    plain(with_nodes(helper.make_node('Loop', ['', ''], ['action'], body=BRANCH))))
refused('randomness', GATE, "operator 'RandomNormal' is not allowed in a policy")(
    plain(with_nodes(helper.make_node('RandomNormal', [], ['action'], shape=[1, 2]))))
refused('hidden subgraph', GATE, "operator 'Identity' holds a subgraph")(
    plain(with_nodes(helper.make_node('Identity', ['plain'], ['action'], body=BRANCH))))
refused('custom function', GATE, 'the model holds local functions')(
    plain(edited(lambda model: model.functions.append(FUNCTION))))
refused('training information', GATE, 'the model holds training information')(
    plain(edited(lambda model: model.training_info.add())))
refused('giant ConstantOfShape', GATE, "'filled', output of a ConstantOfShape .* 1000000000002 elements")(
    plain(with_nodes(helper.make_node('ConstantOfShape', ['sizes'], ['filled']), *SUM,
                     initializers=[constant('sizes', [10 ** 6, 10 ** 6], np.int64)])))
refused('size by the observation', GATE, "the size of 'filled', output of a ConstantOfShape .* depends on the data")(
    plain(with_nodes(helper.make_node('Cast', ['plain'], ['whole'], to=TensorProto.INT64),
                     helper.make_node('Reshape', ['whole', 'row'], ['sizes']),
                     helper.make_node('ConstantOfShape', ['sizes'], ['filled']), *SUM,
                     initializers=[constant('row', [-1], np.int64)])))
refused('too many nodes', GATE, 'the graph has 2001 nodes')(
    plain(with_nodes(*[helper.make_node('Identity', ['plain'], [f'x{i}']) for i in range(2000)])))
refused('old operators', GATE, 'uses operator set 7')(plain(linear_model(opset=7)))
refused('cycle', GATE, 'the graph is not valid ONNX: Nodes in a graph must be topologically sorted')(
    plain(linear_model(nodes=[helper.make_node('Gemm', ['observation', 'action', 'bias'], ['action'])])))
refused('weights that do not fit', GATE, r'the graph is not valid ONNX: \[ShapeInferenceError\]')(
    plain(linear_model(weights=WEIGHTS[:, :5])))
refused('NaN as a weight', GATE, "weight 'bias' holds NaN")(plain(linear_model(bias=np.array([NAN, 0], np.float32))))
refused('text as a weight', GATE, "tensor 'words' has the ONNX type 8, which is not numeric")(
    plain(linear_model(initializers=[helper.make_tensor('words', TensorProto.STRING, [1], [b'x'])])))
refused('more operators than the runtime allows', PROOF, 'ONNX Runtime failed: .*indices element out of data bounds')(
    plain(with_nodes(helper.make_node('Gather', ['plain', 'beyond'], ['action'], axis=1),
                     initializers=[constant('beyond', [0, 9], np.int64)])))
refused('an answer of NaN', PROOF, 'answers the standing robot with values that are not finite')(
    plain(with_nodes(helper.make_node('Sub', ['plain', 'plain'], ['zero']),
                     helper.make_node('Div', ['zero', 'zero'], ['action']))))

# Inputs and outputs

refused('float64', GATE, r"'observation' has the type DOUBLE, expected FLOAT")(
    plain(linear_model(input_type=TensorProto.DOUBLE)))
refused('width of the observation', GATE,
        r"'observation' has 9 values, its terms make 8: joint_position 2 \+ base_angular_velocity 3 \+ command 3")(
    plain(linear_model(input_shape=[1, 9])))
refused('width of the action', GATE, r"'action' has the shape \[1, 3\], the manifest asks for \[batch, 2\]")(
    plain(linear_model(output_shape=[1, 3])))
refused('free width', GATE, r"'observation' has the shape \[1, 'width'\]")(
    plain(linear_model(input_shape=[1, 'width'])))
refused('two robots per call', GATE, 'takes 2 robots per call; export it for one')(
    plain(linear_model(input_shape=[2, 8], output_shape=[2, 2])))
refused('in for one, out for three', GATE, 'the input takes 1 robots, the output gives 3')(
    plain(linear_model(input_shape=[1, 8], output_shape=[3, 2])))
refused('another input', GATE, r"has the inputs \['observation'\], expected \['obs'\]")(
    plain(network={'observation': 'obs', 'action': 'action'}))
refused('another output', GATE, r"has the outputs \['action'\], but not \['actions'\]")(
    plain(network={'observation': 'observation', 'action': 'actions'}))
refused('a state that nobody named', GATE, "inputs observation, h .* 'network.observation' must say which of them is")(
    plain(edited(lambda model: model.graph.input.append(port('h', 1, 2)))))
refused('a state of another shape', GATE, r"'h' has the shape \[1, 1, 2\], its next value 'h_next' \[1, 1, 4\]")(
    recurrent(helper.make_node('Concat', ['h', 'h'], ['h_next'], axis=2), following=(1, 1, 4)))
refused('a state of another type', GATE, "the state 'h' has the type FLOAT, its next value 'h_next' DOUBLE")(
    recurrent(helper.make_node('Cast', ['h'], ['h_next'], to=TensorProto.DOUBLE), following_kind=TensorProto.DOUBLE))
refused('a state of half precision', GATE, "'h' has the type FLOAT16; states, time steps and motions are FLOAT")(
    recurrent(helper.make_node('Identity', ['h'], ['h_next']), kind=TensorProto.FLOAT16,
              following_kind=TensorProto.FLOAT16))
refused('a state of gigabytes', GATE, "'h_next', output of a Identity operator, takes the graph's values to 400000002")(
    recurrent(helper.make_node('Identity', ['h'], ['h_next']), shape=(1, 20000, 20000), following=(1, 20000, 20000)))


# Motions

def spoilt(name, step, value):
    values = np.array(MOTION[name])
    values[step, 0] = value
    return tracker(**{name: values})


refused('a motion that begins with infinity', PROOF, 'the motion that it tracks is not finite, or cannot be read')(
    tracking(spoilt('q', 0, INF)))
refused('a motion that becomes infinite', PROOF, 'has a joint_velocity that is not finite, 2 control periods after')(
    tracking(spoilt('v', 2, INF)))
refused('a turn that is none', PROOF, 'has an anchor_quaternion of length 2.23607, 1 control periods after')(
    tracking(spoilt('turn', 1, 2.0)))
refused('a motion of other joints', GATE, r"'q', the motion's joint_position, has the shape \[1, 3\]; 2 values")(
    tracking(tracker(q=np.zeros((3, 3)))))
refused('a turn of three values', GATE, r"'turn', the motion's anchor_quaternion, has the shape \[1, 3\]; 4 values")(
    tracking(tracker(turn=np.ones((3, 3)))))
refused('bodies, none of them the anchor', GATE, "the motion's anchor_quaternion, holds 2 bodies; 'network.anchor'")(
    tracking(tracker(turn=np.ones((3, 2, 4)))))
refused('an anchor beyond the bodies', GATE, "'network.anchor' is 2, but 'turn' holds 2 bodies, counted from 0")(
    tracking(tracker(turn=np.ones((3, 2, 4))), anchor=2))
refused('an anchor counted from the end', GATE, "'network.anchor' is -1, but 'turn' holds 2 bodies")(
    tracking(tracker(turn=np.ones((3, 2, 4))), anchor=-1))
refused('half a motion', GATE, "'network.reference' names no output for joint_velocity")(
    tracking(reference={key: name for key, name in REFERENCE.items() if key != 'joint_velocity'}))
refused('a motion without its anchor', GATE, 'a motion to track needs both the link .* only one is there')(
    tracking(link=None))
refused('an anchor that the robot lacks', GATE, "unknown link of arm 'nose'")(tracking(link='nose'))
refused('a time step of half precision', GATE, "'time' has the type FLOAT16; states, time steps")(
    tracking(tracker(time_type=TensorProto.FLOAT16)))

# What a YAML by hand leaves out or gets wrong

refused('no YAML', GATE, r'neither has a manifest .* Its metadata: run; its inputs: observation')(
    lambda folder, robot: save_json(folder / 'policy.onnx', linear_model(), {'run': 'a'}))
refused('no joints', GATE, "'joints' is missing; name the joints in the order of the action")(plain(joints=...))
refused('no stiffness', GATE, "'stiffness' is missing; a policy cannot run with gains")(plain(stiffness=...))
refused('no damping', GATE, "'damping' is missing; a policy cannot run with gains")(plain(damping=...))
refused('no scale', GATE, "'action.scale' is missing; say by how many rad")(plain(action=...))
refused('no observations', GATE, "key 'observations' is missing")(plain(observations=...))
refused('an unknown key', GATE, "unknown key 'dampin'; did you mean 'damping'")(plain(dampin=1.0))
refused('an unknown key further in', GATE, "unknown key 'action.scales'; did you mean 'scale'")(
    plain(action={'scales': 0.25}))
refused('a joint twice', GATE, "'joints' names 'elbow' twice")(plain(joints=['elbow', 'elbow']))
refused('permuted joints, one of them twice', GATE, "'joints' names 'shoulder' twice")(
    plain(joints=['elbow', 'shoulder', 'shoulder'], stiffness=[30.0, 20.0, 20.0], damping=[1.0, 2.0, 2.0]))
refused('a joint that the robot lacks', GATE, "joint 'wrist': robot 'arm' has none")(
    plain(joints=['shoulder', 'wrist']))
refused('joints of no robot', GATE, r'its 2 joints \(shoulder, …\) fit no known robot; say which with --robot')(
    plain(None, None, {'robot': None}))
refused('a negative gain', GATE, "stiffness of joint 'elbow' is -30.0; it must be positive")(
    plain(stiffness=[20.0, -30.0]))
refused('a gain of zero', GATE, "damping of joint 'shoulder' is 0.0; it must be positive")(plain(damping=[0.0, 1.0]))
refused('a gain of NaN', GATE, "stiffness of joint 'shoulder' is nan; it must be positive")(
    plain(stiffness=[NAN, 30.0]))
refused('a huge gain', ROBOT, "damping of joint 'elbow' is 1000 N·m·s/rad in the policy and 1 N·m·s/rad")(
    plain(damping=[2.0, 1000.0]))
refused('gains of three joints', GATE, "'stiffness' has 3 values for 2 joints")(plain(stiffness=[20.0, 30.0, 40.0]))
refused('a gain of no joint', GATE, "'damping' names 'wrist', which is none of the joints")(
    plain(damping={'shoulder': 2.0, 'wrist': 1.0}))
refused('a joint without a gain', GATE, "'damping' says nothing of joint 'elbow'")(plain(damping={'shoulder': 2.0}))
refused('a joint by two patterns', GATE, "'damping' names joint 'elbow' by '.*' and by 'e.*'")(
    plain(damping={'.*': 2.0, 'e.*': 1.0}))
refused('no pattern', GATE, r"'damping' names '\(elbow', which is neither a joint nor a regular expression")(
    plain(damping={'shoulder': 2.0, '(elbow': 1.0}))
refused('a pattern that takes years', GATE, r"the pattern '\(\(e\|l\)\+\)\+b', which may take too long to match")(
    plain(damping={'shoulder': 2.0, '((e|l)+)+b': 1.0}))
refused('a scale of three joints', GATE, "'action.scale' has 3 values for 2 joints")(plain(action={'scale': [0.1] * 3}))
refused('a negative scale', GATE, "'action.scale' of joint 'elbow' is -0.1; it must be positive")(
    plain(action={'scale': [0.1, -0.1]}))
refused('an infinite scale', GATE, "'action.scale' of joint 'shoulder' is inf")(plain(action={'scale': INF}))
refused('an offset of NaN', GATE, "'action.offset' holds nan; finite numbers are needed")(
    plain(action={'scale': 0.25, 'offset': [NAN, 0.0]}))
refused('a clip of one joint', GATE, r'action.clip \(least\) has 1 values for 2 joints')(
    plain(action={'scale': 0.25, 'clip': [[-1.0], [1.0]]}))
refused('a clip upside down', GATE, r"'action.clip' is \[\[1.0, 1.0\], \[-1.0, -1.0\]\]; each smaller")(
    plain(action={'scale': 0.25, 'clip': [[1.0, 1.0], [-1.0, -1.0]]}))
refused('limits upside down', GATE, "'action.target_limits' is .* each smaller bound comes first")(
    plain(action={'scale': 0.25, 'target_limits': [[1.0, -1.0], [-1.0, 1.0]]}))
refused('a pose of NaN', GATE, "'default_position' holds nan; finite numbers are needed")(
    plain(default_position=[NAN, 0.0]))
refused('a pose beyond its limits', PROOF, r"default position 9.0 rad of joint 'shoulder' lies outside \[-1.5, 1.5\]")(
    plain(default_position={'shoulder': 9.0}))
refused('commands upside down', PROOF, r'command_lower \(2.0, .*\) exceeds command_upper \(1.0')(
    plain(command_lower=[2.0, 0.0, 0.0]))
refused('commands without end', GATE, "'command_upper' holds inf; finite numbers are needed")(
    plain(command_upper=[INF, 0.5, 0.3]))

# Observations

refused('an unknown term', GATE, "unknown observation term 'joint_positions' in .*; did you mean 'joint_position'")(
    observing('joint_positions', 'base_angular_velocity', 'command'))
refused('a term twice', GATE, "observation term 'command' stands twice")(
    observing('joint_position', 'command', 'command'))
refused('an unknown parameter', GATE, "unknown parameter of term 'joint_position' 'joint'")(
    observing({'term': 'joint_position', 'params': {'joint': ['elbow']}}, 'base_angular_velocity', 'command'))
refused('a parameter of another kind', GATE, "'joints' of observation term 'joint_position' is 5; a list of names")(
    observing({'term': 'joint_position', 'params': {'joints': 5}}, 'base_angular_velocity', 'command'))
refused('a threshold of text', GATE, "do not fit arm: ufunc 'less'")(
    observing({'term': 'gait_phase', 'params': {'zero_below': 'low'}}, 'base_angular_velocity', 'command'))
refused('a pattern of joints', GATE, r"'joints' of observation term 'joint_position' holds the pattern '\.\*'")(
    observing({'term': 'joint_position', 'params': {'joints': ['.*']}}, 'base_angular_velocity', 'command'))
refused('an unknown frame', GATE, "unknown frame of arm 'nose'")(
    observing({'term': 'target_offset', 'params': {'frame': 'nose'}}, 'joint_position', 'command'))
refused('scales of another term', GATE, "observation term 'command' has 3 values and 2 scales")(
    observing('joint_position', 'base_angular_velocity', {'term': 'command', 'scale': [1.0, 2.0]}))
refused('a scale of NaN', GATE, "'scale of observation term command' holds nan")(
    observing('joint_position', 'base_angular_velocity', {'term': 'command', 'scale': NAN}))
refused('a clip of NaN', GATE, "'clip of observation term command' holds nan")(
    observing('joint_position', 'base_angular_velocity', {'term': 'command', 'clip': [NAN, 1.0]}))
refused('an observation clipped upside down', GATE, r"'clip of observation term command' is \[1.0, -1.0\]; each")(
    observing('joint_position', 'base_angular_velocity', {'term': 'command', 'clip': [1.0, -1.0]}))
refused('a history of minutes', GATE, "key 'observations.2.ages.0' is 9999: Input should be less than or equal to 199")(
    observing('joint_position', 'base_angular_velocity', {'term': 'command', 'ages': [9999]}))
refused('a motion that is not there', GATE, "terms of a motion need the interface's 'motion'")(
    observing('motion_joints', 'joint_position', 'joint_velocity'))

# Rates and hashes

refused('another rate', GATE, 'was trained at 50 Hz, not at 100 Hz')(plain(None, None, {'rate': 100.0}))
refused('a rate of zero', GATE, 'a control rate of 0 Hz was asked for; 1 to 1000 Hz are possible')(
    plain(None, None, {'rate': 0.0}, control_rate=...))
refused('a rate of NaN', GATE, 'a control rate of nan Hz was asked for')(
    plain(None, None, {'rate': NAN}, control_rate=...))
refused('an infinite rate in the file', GATE, 'its control period is 0 s; 0.001 to 1.0 s are possible')(
    plain(control_rate=INF))
refused('a period for a rate', GATE, 'its control period is 50 s; 0.001 to 1.0 s are possible')(
    plain(control_rate=0.02))
refused('a negative rate in the file', GATE, "key 'control_rate' is -50.0: Input should be greater than 0")(
    plain(control_rate=-50.0))
refused('another loop', ROBOT, r'was trained at 50 Hz \(a control period of 0.02 s\), the loop runs at 200 Hz')(
    plain(None, None, {'control_period': 0.005}))
refused('another hash', GATE, f'the file has the SHA-256 [0-9a-f]{{64}}, expected {"0" * 64}')(
    plain(None, None, {'sha256': '0' * 64}))
refused('another robot', ROBOT, "was trained for the robot 'arm', not for 'leg'")(
    lambda folder, robot: (native()(folder, robot), {'runs_on': make_robot(folder / 'leg', name='leg')}))
refused('another order of the robot', ROBOT, "joint 0 is 'shoulder' in the policy and 'elbow' in robot 'arm'")(
    lambda folder, robot: (native()(folder, robot), {
        'runs_on': make_robot(folder / 'other', extra='controlled_joints: [elbow, shoulder]')}))

# Hostile YAML

ALIASES = '\n'.join(['a0: &a0 [x, x, x, x, x, x, x, x, x, x]', *(
    f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 12))])  # 10¹² values
TAG = yaml.safe_dump(PLAIN).replace('control_rate: 50.0', 'control_rate: !!python/object/apply:os.getpid []')

refused('Python in YAML', GATE, r"key 'control_rate' is <object/apply:os.getpid>")(plain(None, TAG))
refused('another tag in YAML', GATE, "could not determine a constructor for the tag '!secret'")(
    plain(None, 'joints: !secret x'))
refused('aliases of aliases', GATE, 'holds more than 20000 values, its aliases resolved')(plain(None, ALIASES))
refused('YAML without end', GATE, 'is larger than 1048576 bytes, the most that is read')(
    plain(None, '#' * (2 ** 20 + 1)))
refused('YAML without bottom', GATE, 'is not valid YAML: maximum recursion depth exceeded')(plain(None, '[' * 1000))
refused('no YAML at all', GATE, 'is not valid YAML: .*unacceptable character')(plain(None, 'joints: \x00'))
refused('a key twice in YAML', GATE, "is not valid YAML: key 'stiffness' stands twice")(
    plain(None, yaml.safe_dump(PLAIN) + 'stiffness: 40.0\n'))
refused('YAML of a list', GATE, 'expected a mapping of settings, got list')(plain(None, '- joints'))
refused('YAML of nothing', GATE, 'expected a mapping of settings, got NoneType')(plain(None, '# later'))

# Metadata

refused('names that are none', GATE, 'looks like a policy of holosoma, but cannot be read as one: AttributeError')(
    holosoma(dof_names=[1, 2]))
refused('names by number', GATE, "the names of its joints are {'shoulder': 0, 'elbow': 1}; a list of names is needed")(
    holosoma(dof_names={'shoulder': 0, 'elbow': 1}))
refused('metadata: no dof_names', GATE, "lacks 'dof_names'. A policy cannot run without it")(holosoma(dof_names=...))
refused('metadata: no kp', GATE, "lacks 'kp'. A policy cannot run without it")(holosoma(kp=...))
refused('metadata: no kd', GATE, "lacks 'kd'. A policy cannot run without it")(holosoma(kd=...))
refused('metadata: a history of 2 GB', GATE, "'history_length' is 1000000000; a whole number, at most 200, is needed")(
    holosoma(experiment_config={'observation': {'groups': {'actor_obs': {'history_length': 10 ** 9}}}}))
refused('metadata: half a step back', GATE, "'history_length' is 2.7; a whole number")(
    holosoma(experiment_config={'observation': {'groups': {'actor_obs': {'history_length': 2.7}}}}))
refused('metadata: a negative scale', GATE, "'action_scale' holds -0.2; it must be positive")(
    holosoma(action_scale=-0.2))
refused('metadata: half a pose', GATE, "'default_joint_angles' says nothing of joint 'elbow'")(
    holosoma(experiment_config={'robot': {'init_state': {'default_joint_angles': {'shoulder': 0.1}}}}))
refused('metadata: a joint twice', GATE, "joint 'shoulder' stands twice")(holosoma(dof_names=['shoulder'] * 2))
refused('metadata: NaN', GATE, r"'kd' is \[nan, 1.0\]; finite numbers are needed")(holosoma(kd=[NAN, 1.0]))
refused('metadata: beyond every number', GATE, r"'kp' is \[inf, 30\]; finite numbers are needed")(
    holosoma(raw={'kp': '[1e999, 30]'}))
refused('metadata: half a list', GATE, r"the metadata 'kp' is not JSON: '\[20.0, '")(holosoma(raw={'kp': '[20.0, '}))
refused('metadata: one gain', GATE, "'kp' has 1 values for 2 joints")(holosoma(kp=[20.0]))
refused('metadata: another width', GATE, "'actor_obs' has 20 values, its terms make 19: actions 2")(holosoma(width=20))
refused('metadata: a pose of text', GATE, "'default_position' holds low; finite numbers are needed")(
    holosoma(experiment_config={'robot': {'init_state': {'default_joint_angles': {'shoulder': 'low', 'elbow': 0.0}}}}))
refused('metadata: NaN for people', PROOF, 'policy.onnx: the manifest cannot be written as JSON')(
    holosoma(iteration=NAN))

# Manifests


def manifest(**changes):
    """A file of our own whose manifest says something else."""
    def build(folder, robot):
        made = make_manifest(robot, linear_model())
        return write_policy(folder / 'policy.onnx', linear_model(), dataclasses.replace(made, **changes))
    return build


def manifest_text(old, new):
    """A file of our own whose manifest's text is changed."""
    def build(folder, robot):
        path = native()(folder, robot)
        model = onnx.load(str(path))
        entry = model.metadata_props[0]
        assert old in entry.value
        entry.value = entry.value.replace(old, new)
        onnx.save(model, str(path))
        return path
    return build


refused('manifest: from the future', GATE, 'the manifest has format 99, this rl_robot_control reads up to')(
    manifest(format_version=99))
refused('manifest: a path as robot', GATE, r"key 'robot' is '\.\./arm'")(
    manifest_text('"robot": "arm"', '"robot": "../arm"'))
refused('manifest: no gain', GATE, "key 'stiffness' is missing")(manifest_text('"stiffness": [20.0, 30.0], ', ''))
refused('manifest: NaN', GATE, 'the manifest is not valid JSON: NaN is not a finite number')(
    manifest_text('"stiffness": [20.0', '"stiffness": [NaN'))
refused('manifest: a key twice', GATE, "key 'robot' stands twice in one object")(
    manifest_text('"robot": "arm"', '"robot": "arm", "robot": "arm"'))


@refused('two manifests', GATE, 'has 2 manifests, expected one')
def _(folder, robot):
    path = native()(folder, robot)
    model = onnx.load(str(path))
    model.metadata_props.add(key=MANIFEST_KEY, value='{}')
    onnx.save(model, str(path))
    return path


# The table


@pytest.fixture(scope='module')
def refusals(tmp_path_factory):
    """What comes of every file: name → (stage that it came to, message); None where it was not refused."""
    robot_folder, found = tmp_path_factory.mktemp('robot'), {}
    robot = make_robot(robot_folder)
    with pytest.MonkeyPatch.context() as patch:
        for number, (name, _, _, build) in enumerate(REFUSED):
            folder = tmp_path_factory.mktemp(f'file{number}')
            made = build(folder, robot)
            path, options = made if isinstance(made, tuple) else (made, {})
            found[name] = attempt(path, {'robot': str(robot_folder / 'arm.yaml'), 'runs_on': robot} | options, patch)
    return found


def attempt(path, options, patch):
    """Take a file as far as it comes toward moving a robot."""
    sessions, runs_on, period = [], options.pop('runs_on'), options.pop('control_period', None)

    def count(*args, **kwargs):
        sessions.append(args)
        return onnxruntime.InferenceSession(*args, **kwargs)
    patch.setattr(session, 'onnxruntime', _Counted(count))
    stage = None
    try:
        checked = read_policy(path, **options)
        stage = ROBOT
        PolicyRunner(checked, runs_on, control_period=period)
    except RobotControlError as error:
        return stage or (PROOF if sessions else GATE), str(error)
    except Exception as error:  # a bug: it fails the file's own test, not those of all
        return type(error).__name__, str(error)
    return None


class _Counted:
    """``onnxruntime``, whose sessions are counted."""

    def __init__(self, make):
        self.InferenceSession = make

    def __getattr__(self, name):
        return getattr(onnxruntime, name)


@pytest.mark.parametrize(('name', 'stage', 'message'), [entry[:3] for entry in REFUSED],
                         ids=[entry[0] for entry in REFUSED])
def test_refused_with_its_own_message(refusals, name, stage, message):
    assert refusals[name] is not None, 'the file was taken'
    came_to, said = refusals[name]
    assert re.search(message, said), said
    assert came_to == stage, said
    assert 'policy.' in said, f'the message does not name the file: {said}'
    others = [other for other, found in refusals.items() if other != name and found and re.search(message, found[1])]
    assert not others, f'the message also fits {others}'


def test_all_messages_differ(refusals):
    names = [entry[0] for entry in REFUSED]
    assert len(set(names)) == len(names) >= 30
    # The folder that a file lies in is no difference.
    messages = [re.sub(r'\S*/policy', 'policy', found[1]) for found in refusals.values() if found is not None]
    assert len(set(messages)) == len(names)


def test_what_is_spoilt_above_is_taken_as_it_is(tmp_path):
    """Else a file might be refused for another reason than the one in the table."""
    robot = make_robot(tmp_path / 'robot')
    state_kept = recurrent(helper.make_node('Identity', ['h'], ['h_next']))
    for number, build in enumerate((native(), plain(), holosoma(), tracking(), state_kept)):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = build(folder, robot)
        path = made[0] if isinstance(made, tuple) else made
        PolicyRunner(read_policy(path, robot=str(tmp_path / 'robot' / 'arm.yaml')), robot, control_period=0.02)
    assert load_robot(str(tmp_path / 'robot' / 'arm.yaml')).name == 'arm'
