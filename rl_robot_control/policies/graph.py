"""Checks of an ONNX graph that need no runtime: what it may contain, and how much memory it can ask for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from rl_robot_control.errors import PolicyError

MAX_NODES = 2000
MAX_ELEMENTS = 2 ** 24  # of all intermediate values together, for one robot
OPSETS = range(11, 24)  # of the default operator set: what the pinned ONNX Runtime implements
DOMAINS = ('', 'ai.onnx')
# Deterministic, without state, files, strings or control flow. ConstantOfShape, Expand and Tile are harmless only
# because check_memory() bounds every shape.
OPERATORS = frozenset("""
    Abs Acos Add And ArgMax ArgMin Asin Atan BatchNormalization Cast CastLike Ceil Celu Clip Concat Constant
    ConstantOfShape Cos Div Elu Equal Erf Exp Expand Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm
    Greater GreaterOrEqual HardSigmoid HardSwish Identity LSTM LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax MatMul Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal ReduceL2 ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round ScatterElements ScatterND Selu Shape Sigmoid
    Sign Sin Size Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tan Tanh Tile Transpose Unsqueeze Where
    Xor""".split())
PORT_TYPES = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32)  # see session._TYPES
TENSOR_TYPES = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT64,
                          TensorProto.INT32, TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL})


def check_contents(model: ModelProto, where: str) -> None:
    """Refuse external data, functions, subgraphs, and operators off the allow-list.

    Raises:
        PolicyError: Names what was found.
    """
    _check_external_data(model, where)
    for kind, found in (('local functions', model.functions), ('training information', model.training_info)):
        if len(found):
            raise PolicyError(f'{where}: the model holds {kind}; a policy may not. Export it with rl_robot_control.')
    _check_operator_sets(model, where)
    if len(model.graph.node) > MAX_NODES:
        raise PolicyError(f'{where}: the graph has {len(model.graph.node)} nodes, at most {MAX_NODES} are allowed.')
    for node in model.graph.node:
        _check_node(node, where)
    if len(model.graph.sparse_initializer):
        raise PolicyError(f'{where}: the graph has sparse initialisers; store weights as plain tensors.')
    for tensor in _tensors(model.graph):
        _check_tensor(tensor, where)


def check_memory(model: ModelProto, where: str) -> None:
    """Refuse a graph whose intermediate values are large or of unknown size.

    Shapes are inferred for one robot from the inputs and constants alone; what the file claims about them is ignored.

    Raises:
        PolicyError: The graph is not valid ONNX, a shape is unknown, or the sum exceeds ``MAX_ELEMENTS``.
    """
    single = ModelProto()
    single.CopyFrom(model)
    del single.graph.value_info[:]
    for value in (*single.graph.input, *single.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField('dim_value'):
                dim.dim_value = 1
    try:
        onnx.checker.check_model(single)
        inferred = onnx.shape_inference.infer_shapes(single, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise PolicyError(f'{where}: the graph is not valid ONNX: {_first_line(error)}') from None
    sizes = {value.name: _elements(value) for value in (*inferred.graph.value_info, *inferred.graph.output)}
    total = 0
    for node in inferred.graph.node:
        for name in filter(None, node.output):
            if sizes.get(name) is None:
                raise PolicyError(f"{where}: the size of '{name}', output of a {node.op_type} operator, depends on the "
                                  'data; a policy needs fixed shapes.')
            total += sizes[name]
            if total > MAX_ELEMENTS:
                raise PolicyError(f"{where}: '{name}', output of a {node.op_type} operator, takes the graph's values "
                                  f'to {total} elements for one robot, at most {MAX_ELEMENTS} are allowed.')


def shape_of_one(value: ValueInfoProto) -> list[int]:
    """Lengths of the axes of an input or output for one robot: 1 for a free axis."""
    return [d.dim_value if d.HasField('dim_value') else 1 for d in value.type.tensor_type.shape.dim]


def number_type(value: ValueInfoProto, where: str) -> str:
    """Name of the type of a state, time step or motion.

    Raises:
        PolicyError: It is none that a session passes on.
    """
    kind = value.type.tensor_type.elem_type
    if kind not in PORT_TYPES:
        known = TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else '?'
        raise PolicyError(f"{where}: '{value.name}' has the type {known}; states, time steps and motions are "
                          f"{', '.join(TensorProto.DataType.Name(kind) for kind in PORT_TYPES)}.")
    return TensorProto.DataType.Name(kind)


def fixed_shape(value: ValueInfoProto, width: int, where: str) -> int | None:
    """Check an input or output to be float32 of shape (batch, width).

    Returns:
        The batch size, or None where it is symbolic.

    Raises:
        PolicyError: Another type or shape.
    """
    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(tensor.elem_type) if tensor.elem_type in TensorProto.DataType.values() else '?'
        raise PolicyError(f"{where}: '{value.name}' has the type {kind}, expected FLOAT (float32).")
    # str(): protobuf gives bytes for text that is not UTF-8
    shape = [d.dim_value if d.HasField('dim_value') else str(d.dim_param or '?') for d in tensor.shape.dim]
    symbolic = len(shape) == 2 and isinstance(shape[0], str)
    if len(shape) != 2 or shape[1] != width or not (symbolic or shape[0] > 0):
        raise PolicyError(f"{where}: '{value.name}' has the shape {shape}, the manifest asks for [batch, {width}].")
    return None if symbolic else shape[0]


def _check_external_data(model: ModelProto, where: str) -> None:
    holders: list[GraphProto | FunctionProto] = [model.graph, *model.functions]
    for training in model.training_info:
        holders += [training.initialization, training.algorithm]
    for holder in holders:
        for tensor in _tensors(holder):
            if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
                raise PolicyError(f"{where}: tensor '{tensor.name}' lies in another file; a policy must hold all its "
                                  'weights itself. Export it without external data.')


def _tensors(holder: GraphProto | FunctionProto) -> Iterator[TensorProto]:
    """Every tensor of a graph or function, those of subgraphs included."""
    if isinstance(holder, GraphProto):
        yield from holder.initializer
        for sparse in holder.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    else:
        for attribute in holder.attribute_proto:
            yield from _attribute_tensors(attribute)
    for node in holder.node:
        for attribute in node.attribute:
            yield from _attribute_tensors(attribute)


def _attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    # The declared attribute type is not trusted: whatever is present counts.
    if attribute.HasField('t'):
        yield attribute.t
    yield from attribute.tensors
    sparse = [attribute.sparse_tensor] if attribute.HasField('sparse_tensor') else []
    for tensor in (*sparse, *attribute.sparse_tensors):
        yield from (tensor.values, tensor.indices)
    graphs = [attribute.g] if attribute.HasField('g') else []
    for graph in (*graphs, *attribute.graphs):
        yield from _tensors(graph)


def _check_operator_sets(model: ModelProto, where: str) -> None:
    for imported in model.opset_import:
        if imported.domain not in DOMAINS:
            raise PolicyError(f"{where}: the model imports the operator domain '{imported.domain}'; only the default "
                              'domain of ONNX is allowed.')
        if imported.version not in OPSETS:
            raise PolicyError(f'{where}: the model uses operator set {imported.version}, allowed are {OPSETS[0]} to '
                              f'{OPSETS[-1]}. Export it again for one of them.')


def _check_node(node: NodeProto, where: str) -> None:
    if node.domain not in DOMAINS:
        raise PolicyError(f"{where}: operator '{node.op_type}' is of the domain '{node.domain}'; only the default "
                          'domain of ONNX is allowed.')
    if node.op_type not in OPERATORS:
        raise PolicyError(f"{where}: operator '{node.op_type}' is not allowed in a policy. Allowed: "
                          f"{', '.join(sorted(OPERATORS))}.")
    for attribute in node.attribute:
        if attribute.HasField('g') or len(attribute.graphs):
            raise PolicyError(f"{where}: operator '{node.op_type}' holds a subgraph; a policy may not branch.")


def _check_tensor(tensor: TensorProto, where: str) -> None:
    if tensor.data_type not in TENSOR_TYPES:
        raise PolicyError(f"{where}: tensor '{tensor.name}' has the ONNX type {tensor.data_type}, which is not "
                          'numeric.')
    try:
        values = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        raise PolicyError(f"{where}: the data of tensor '{tensor.name}' does not fit its shape {list(tensor.dims)}: "
                          f'{_first_line(error)}') from None
    if values.dtype.kind == 'f' and np.isnan(values).any():
        raise PolicyError(f"{where}: weight '{tensor.name}' holds NaN; the training diverged or the file is damaged.")


def _elements(value: ValueInfoProto) -> int | None:
    """Number of elements, or None where a dimension is unknown."""
    if not value.type.tensor_type.HasField('shape'):
        return None
    count = 1
    for dim in value.type.tensor_type.shape.dim:
        if not dim.HasField('dim_value') or dim.dim_value < 0:
            return None
        count *= dim.dim_value
    return count


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
