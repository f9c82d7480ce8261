"""The gate: every malformed or hostile file is refused with its own message, before a runtime sees it."""

import dataclasses
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies import gate
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.manifest import MANIFEST_KEY

from .conftest import BIAS, WEIGHTS, linear_model, make_manifest, write_policy

GEMM = helper.make_node('Gemm', ['observation', 'weights', 'bias'], ['plain'], transB=1)


def refuse(path, message):
    with pytest.raises(PolicyError, match=message):
        read_policy(path)


def write_model(tmp_path, robot, model, **changes):
    return write_policy(tmp_path / 'p.onnx', model, make_manifest(robot, model, **changes))


def with_nodes(*nodes, initializers=()):
    """A model of the Gemm above, whose output is named 'plain', and further nodes."""
    return linear_model(nodes=[GEMM, *nodes], initializers=initializers)


def integers(name, *values):
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def test_valid_file_is_read_as_it_stands(policy_path, robot):
    checked = read_policy(policy_path)
    assert checked.content == policy_path.read_bytes() and checked.batch is None
    assert checked.manifest == make_manifest(robot, linear_model())
    assert read_policy(policy_path, sha256=checked.sha256.upper()) == checked


def test_missing_file(tmp_path):
    refuse(tmp_path / 'none.onnx', "none.onnx' does not exist")


def test_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / 'p.onnx')
    refuse(tmp_path / 'p.onnx', 'no regular file')


def test_empty_file(tmp_path):
    (tmp_path / 'p.onnx').touch()
    refuse(tmp_path / 'p.onnx', 'p.onnx: the file is empty')


@pytest.mark.parametrize('content', [b'hello, this is no model at all', os.urandom(1) * 500, b'PK\x03\x04' * 99])
def test_garbage(tmp_path, content):
    (tmp_path / 'p.onnx').write_bytes(content)
    refuse(tmp_path / 'p.onnx', 'p.onnx: (is not an ONNX file|holds no ONNX graph)')


def test_truncated_anywhere(policy_path):
    content = policy_path.read_bytes()
    for length in range(1, len(content), 97):
        policy_path.write_bytes(content[:length])
        refuse(policy_path, 'policy.onnx: (is not an ONNX file, or only a part|holds no ONNX graph|has no manifest)')


def test_every_flipped_byte_is_refused_or_harmless(policy_path):
    """Nothing but PolicyError may come out of a damaged file."""
    content = bytearray(policy_path.read_bytes())
    for i in range(0, len(content), 23):
        content[i] ^= 0xFF
        policy_path.write_bytes(content)
        content[i] ^= 0xFF
        try:
            read_policy(policy_path)
        except PolicyError:
            pass


def test_too_large_file(policy_path, monkeypatch):
    monkeypatch.setattr(gate, 'MAX_FILE_BYTES', 1000)
    refuse(policy_path, 'policy.onnx: the file is larger than 1000 bytes')


def test_wrong_hash_of_the_file(policy_path):
    with pytest.raises(PolicyError, match=f'the file has the SHA-256 [0-9a-f]{{64}}, expected {"0" * 64}'):
        read_policy(policy_path, sha256='0' * 64)


def test_weights_of_another_policy(tmp_path, robot):
    other = linear_model(bias=BIAS + 1)
    path = write_policy(tmp_path / 'p.onnx', other, make_manifest(robot, linear_model()))
    refuse(path, 'weights and manifest do not belong together')


def test_missing_manifest(tmp_path):
    (tmp_path / 'p.onnx').write_bytes(linear_model().SerializeToString())
    refuse(tmp_path / 'p.onnx', 'neither has a manifest of rl_robot_control, nor is of a known dialect')


def test_two_manifests(policy_path):
    model = onnx.load_from_string(policy_path.read_bytes())
    model.metadata_props.add(key=MANIFEST_KEY, value='{}')
    policy_path.write_bytes(model.SerializeToString())
    refuse(policy_path, 'has 2 manifests, expected one')


def external(tensor):
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='/etc/passwd')


def test_external_weights(tmp_path, robot):
    model = linear_model()
    external(model.graph.initializer[0])
    refuse(write_model(tmp_path, robot, model), "tensor 'weights' lies in another file")


def test_external_tensor_in_a_constant(tmp_path, robot):
    constant = helper.make_node('Constant', [], ['c'], value=numpy_helper.from_array(BIAS, 'inner'))
    external(constant.attribute[0].t)
    model = with_nodes(constant, helper.make_node('Add', ['plain', 'c'], ['action']))
    refuse(write_model(tmp_path, robot, model), "tensor 'inner' lies in another file")


def branching():
    """An If whose branches hold one initialiser each."""
    branch = [helper.make_graph([helper.make_node('Identity', [name], [name + '_out'])], name, [],
                                [helper.make_tensor_value_info(name + '_out', TensorProto.FLOAT, [2])],
                                [numpy_helper.from_array(BIAS, name)]) for name in ('yes', 'no')]
    return helper.make_node('If', ['condition'], ['action'], then_branch=branch[0], else_branch=branch[1])


def test_external_tensor_in_a_subgraph(tmp_path, robot):
    model = with_nodes(branching())
    external(next(a for a in model.graph.node[1].attribute if a.name == 'else_branch').g.initializer[0])
    refuse(write_model(tmp_path, robot, model), "tensor 'no' lies in another file")


def with_function(constant):
    model = linear_model()
    model.functions.append(helper.make_function('mine', 'f', ['x'], ['y'], [
        constant, helper.make_node('Add', ['x', 'c'], ['y'])], [helper.make_opsetid('', 20)]))
    return model


def test_external_tensor_in_a_function(tmp_path, robot):
    constant = helper.make_node('Constant', [], ['c'], value=numpy_helper.from_array(BIAS, 'hidden'))
    external(constant.attribute[0].t)
    refuse(write_model(tmp_path, robot, with_function(constant)), "tensor 'hidden' lies in another file")


def test_function(tmp_path, robot):
    constant = helper.make_node('Constant', [], ['c'], value=numpy_helper.from_array(BIAS, 'hidden'))
    refuse(write_model(tmp_path, robot, with_function(constant)), 'the model holds local functions')


def test_training_information(tmp_path, robot):
    model = linear_model()
    model.training_info.add()
    refuse(write_model(tmp_path, robot, model), 'the model holds training information')


@pytest.mark.parametrize('operator', ['If', 'Loop', 'Scan', 'RandomNormalLike', 'StringNormalizer', 'ImageDecoder'])
def test_forbidden_operator(tmp_path, robot, operator):
    model = with_nodes(helper.make_node(operator, ['plain'], ['action']))
    refuse(write_model(tmp_path, robot, model), f"operator '{operator}' is not allowed in a policy. Allowed: Abs, ")


def test_subgraph_in_an_allowed_operator(tmp_path, robot):
    node = branching()
    node.op_type = 'Identity'
    refuse(write_model(tmp_path, robot, with_nodes(node)), "operator 'Identity' holds a subgraph")


def test_foreign_domain_of_an_operator(tmp_path, robot):
    model = with_nodes(helper.make_node('Gelu', ['plain'], ['action'], domain='com.microsoft'))
    refuse(write_model(tmp_path, robot, model), "operator 'Gelu' is of the domain 'com.microsoft'")


def test_foreign_domain_of_the_model(tmp_path, robot):
    refuse(write_model(tmp_path, robot, linear_model(domain='evil')), "imports the operator domain 'evil'")


@pytest.mark.parametrize('opset', [7, 99])
def test_unsupported_operator_set(tmp_path, robot, opset):
    refuse(write_model(tmp_path, robot, linear_model(opset=opset)), f'uses operator set {opset}, allowed are 11 to 23')


def test_too_many_nodes(tmp_path, robot):
    nodes = [helper.make_node('Identity', ['plain'], [f'x{i}']) for i in range(2000)]
    refuse(write_model(tmp_path, robot, with_nodes(*nodes)), 'the graph has 2001 nodes, at most 2000')


def test_giant_constant_of_shape(tmp_path, robot):
    nodes = [helper.make_node('ConstantOfShape', ['shape'], ['giant']),
             helper.make_node('ReduceSum', ['giant'], ['sum'], keepdims=0),
             helper.make_node('Add', ['plain', 'sum'], ['action'])]
    # 10¹² float32 would be 4 TB
    model = with_nodes(*nodes, initializers=[integers('shape', 10 ** 6, 10 ** 6)])
    refuse(write_model(tmp_path, robot, model),
           "'giant', output of a ConstantOfShape .* takes .* 1000000000002 elements")


def test_sizes_that_depend_on_the_observation(tmp_path, robot):
    nodes = [helper.make_node('Cast', ['plain'], ['whole'], to=TensorProto.INT64),
             helper.make_node('Reshape', ['whole', 'minus'], ['flat']),
             helper.make_node('ConstantOfShape', ['flat'], ['filled']),
             helper.make_node('ReduceSum', ['filled'], ['sum'], keepdims=0),
             helper.make_node('Add', ['plain', 'sum'], ['action'])]
    model = with_nodes(*nodes, initializers=[integers('minus', -1)])
    refuse(write_model(tmp_path, robot, model),
           "the size of 'filled', output of a ConstantOfShape .* depends on the data")


def test_doubling_until_the_memory_is_full(tmp_path, robot):
    nodes = [helper.make_node('Concat', [f'x{i}', f'x{i}'], [f'x{i + 1}'], axis=1) for i in range(40)]
    nodes += [helper.make_node('ReduceSum', ['x40', 'one'], ['sum']),
              helper.make_node('Add', ['plain', 'sum'], ['action'])]
    nodes = [helper.make_node('Identity', ['plain'], ['x0']), *nodes]
    # 2 + 2 + 4 + ... passes 2**24 at x23 (2**24 elements)
    refuse(write_model(tmp_path, robot, with_nodes(*nodes, initializers=[integers('one', 1)])),
           "'x2[23]', output of a Concat .* at most 16777216 are allowed")


def test_claimed_sizes_are_not_believed(tmp_path, robot):
    nodes = [helper.make_node('ConstantOfShape', ['shape'], ['giant']),
             helper.make_node('ReduceSum', ['giant'], ['sum'], keepdims=0),
             helper.make_node('Add', ['plain', 'sum'], ['action'])]
    model = with_nodes(*nodes, initializers=[integers('shape', 10 ** 6, 10 ** 6)])
    model.graph.value_info.append(helper.make_tensor_value_info('giant', TensorProto.FLOAT, [1, 1]))
    refuse(write_model(tmp_path, robot, model), "'giant', output of a ConstantOfShape")


@pytest.mark.parametrize('ports, message', [
    (dict(input_shape=['batch', 9]), "'observation' has 9 values, its terms make 8: joint_position 2 .* command 3"),
    (dict(input_shape=['batch', 'width']), r"'observation' has the shape \['batch', 'width'\]"),
    (dict(input_shape=['batch', 8, 1]), r"'observation' has the shape \['batch', 8, 1\]"),
    (dict(output_shape=['batch', 3]), r"'action' has the shape \['batch', 3\], the manifest asks for \[batch, 2\]"),
    (dict(input_shape=[0, 8]), r"'observation' has the shape \[0, 8\]"),
    (dict(output_shape=[4, 2]), 'the input takes any number of robots, the output gives 4'),
    (dict(input_type=TensorProto.DOUBLE), r"'observation' has the type DOUBLE, expected FLOAT \(float32\)"),
])
def test_wrong_port(tmp_path, robot, ports, message):
    refuse(write_model(tmp_path, robot, linear_model(**ports)), message)


def test_wrong_number_or_name_of_ports(tmp_path, robot):
    model = linear_model()
    model.graph.output[0].name = 'plain'
    refuse(write_model(tmp_path, robot, model), r"has the outputs \['plain'\], but not \['action'\]")
    model = linear_model()
    model.graph.input[0].name = 'obs'
    refuse(write_model(tmp_path, robot, model), r"has the inputs \['obs'\], expected \['observation'\]")


def test_weights_that_do_not_fit_each_other(tmp_path, robot):
    refuse(write_model(tmp_path, robot, linear_model(weights=WEIGHTS[:, :5])), 'the graph is not valid ONNX')


def test_output_computed_by_nobody(tmp_path, robot):
    model = linear_model(nodes=[helper.make_node('Identity', ['nothing'], ['action'])])
    refuse(write_model(tmp_path, robot, model), 'the graph is not valid ONNX: .*nothing')


def test_weights_that_hold_nan(tmp_path, robot):
    weights = WEIGHTS.copy()
    weights[0, 3] = np.nan
    refuse(write_model(tmp_path, robot, linear_model(weights)), "weight 'weights' holds NaN")


def test_tensor_with_less_data_than_its_shape_claims(tmp_path, robot):
    model = linear_model()
    model.graph.initializer[0].dims[0] = 10 ** 9
    refuse(write_model(tmp_path, robot, model),
           r"the data of tensor 'weights' does not fit its shape \[1000000000, 8\]")


def test_text_as_weights(tmp_path, robot):
    model = linear_model(initializers=[helper.make_tensor('words', TensorProto.STRING, [1], [b'x'])])
    refuse(write_model(tmp_path, robot, model), "tensor 'words' has the ONNX type 8, which is not numeric")


def test_sparse_weights(tmp_path, robot):
    model = linear_model()
    model.graph.sparse_initializer.add().values.CopyFrom(numpy_helper.from_array(BIAS, 'sparse'))
    refuse(write_model(tmp_path, robot, model), 'sparse initialisers')


def test_manifest_for_other_joints_than_the_network(tmp_path, robot):
    manifest = make_manifest(robot, linear_model())
    manifest = dataclasses.replace(manifest, observation_sizes={'joint_position': 3, **{
        'base_angular_velocity': 3, 'command': 3}})
    refuse(write_policy(tmp_path / 'p.onnx', linear_model(), manifest),
           r'the manifest contradicts itself: a golden vector has the sizes \(8, 2\), expected \(9, 2\)')
