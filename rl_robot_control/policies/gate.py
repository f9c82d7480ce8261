"""The gate that a policy file passes before any runtime sees it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.graph import check_contents, check_memory, fixed_shape, number_type, shape_of_one
from rl_robot_control.policies.manifest import MANIFEST_KEY, REFERENCE_NEEDS, Manifest, parse_manifest

MAX_FILE_BYTES = 64 * 2 ** 20
TEXT_BYTES = 64  # at the beginning of a file, by which text is told from ONNX
POSE_SIZES = {'anchor_position': 3, 'anchor_quaternion': 4}
INPUT, OUTPUT = 'observation', 'action'  # of networks that are exported here


@dataclass(frozen=True, kw_only=True)
class CheckedModel:
    """A policy file that passed the gate; the bytes are the ones that were checked."""

    path: Path
    content: bytes
    sha256: str  # of the content
    manifest: Manifest
    batch: int | None  # robots per call; None: any number


def read_policy(path: Path | str, sha256: str | None = None, robot: str | None = None,
                rate: float | None = None) -> CheckedModel:
    """Read a policy file once and check it, before any runtime sees it.

    Args:
        path: An ONNX file: of our own, or of one of the ``dialects``.
        sha256: Expected SHA-256 of the whole file, if one is known.
        robot: For a foreign file the robot that it is for; None: the one that has its joints.
        rate: For a foreign file its control rate where it does not say it [Hz].

    Raises:
        PolicyError: The file is missing, malformed, hostile, or does not say what must be known; the message says what
            to do.
    """
    path = Path(path)
    where, content = path.name, _read(path)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise PolicyError(f'{where}: the file has the SHA-256 {digest}, expected {sha256}. Fetch the right file.')
    model = _parse(content, where)
    check_contents(model, where)
    manifest = _manifest(model, where)
    if manifest is None:
        from rl_robot_control.policies.importing import ForeignFile, import_policy  # it builds on this module
        return import_policy(ForeignFile(path, model), digest, robot, rate)
    batch = check_network(model, manifest, where)
    _check_hash(model, manifest, where)
    return CheckedModel(path=path, content=content, sha256=digest, manifest=manifest, batch=batch)


def check_network(model: onnx.ModelProto, manifest: Manifest, where: str) -> int | None:
    """Check a graph against its manifest.

    Returns:
        The robots per call, or None where any number is taken.

    Raises:
        PolicyError: An input, output, shape or size is not as it should be.
    """
    batch = _check_ports(model, manifest, where)
    check_memory(model, where)
    return batch


def graph_sha256(model: onnx.ModelProto) -> str:
    """SHA-256 of the network, weights included, without the metadata around it."""
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()


def _read(path: Path) -> bytes:
    if not path.is_file():
        fault = ('is a folder' if path.is_dir() else 'is no regular file' if path.exists() else 'does not exist')
        raise PolicyError(f"policy file '{path}' {fault}; give the path of an exported .onnx file.")
    try:
        with path.open('rb') as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise PolicyError(f'{path}: cannot be read: {error.strerror}.') from error
    if len(content) > MAX_FILE_BYTES:
        raise PolicyError(f'{path.name}: the file is larger than {MAX_FILE_BYTES} bytes, the most that is read.')
    if not content:
        raise PolicyError(f'{path.name}: the file is empty. Export the policy again.')
    return content


def _parse(content: bytes, where: str) -> onnx.ModelProto:
    model, kind = onnx.ModelProto(), _other_kind(content)
    if kind is not None:
        raise PolicyError(f'{where}: is not an ONNX file, but {kind}.')
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise PolicyError(f'{where}: is not an ONNX file, or only a part of one. Copy or export it again.') from None
    if not model.HasField('graph') or not len(model.graph.node):
        raise PolicyError(f'{where}: holds no ONNX graph. Copy or export it again.')
    return model


def _other_kind(content: bytes) -> str | None:
    """What people take for an ONNX file; None for anything else."""
    if content.startswith(b'version https://git-lfs'):
        return "a pointer of Git LFS to one: fetch the file itself with 'git lfs pull'"
    if content.startswith(b'PK\x03\x04'):
        return "a ZIP archive, such as PyTorch's checkpoints: export the policy to ONNX"
    start = content[:TEXT_BYTES]
    if start.isascii() and start.decode('ascii').replace('\n', '').replace('\r', '').replace('\t', '').isprintable():
        return f'text that begins with {start[:20].decode("ascii")!r}: give the path of the .onnx file'
    return None


def _manifest(model: onnx.ModelProto, where: str) -> Manifest | None:
    texts = [entry.value for entry in model.metadata_props if entry.key == MANIFEST_KEY]
    if len(texts) > 1:
        raise PolicyError(f'{where}: has {len(texts)} manifests, expected one. Export the policy again.')
    return parse_manifest(texts[0], where) if texts else None


def _check_ports(model: onnx.ModelProto, manifest: Manifest, where: str) -> int | None:
    """Check inputs and outputs against the manifest; returns the batch size, None where it is symbolic."""
    network, weights = manifest.network, {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in weights}
    outputs = {value.name: value for value in model.graph.output}
    wanted = [network.observation, *([network.time_step] if network.time_step else []), *network.states]
    if sorted(inputs) != sorted(wanted):
        raise PolicyError(f'{where}: the graph has the inputs {sorted(inputs)}, expected {sorted(wanted)}.')
    given = [network.action, *network.states.values(), *network.reference.values()]
    missing = [name for name in given if name not in outputs]
    if missing:
        raise PolicyError(f'{where}: the graph has the outputs {sorted(outputs)}, but not {missing}.')
    _check_width(inputs[network.observation], manifest.observation_sizes, where)
    batches = (fixed_shape(inputs[network.observation], manifest.num_observations, where),
               fixed_shape(outputs[network.action], manifest.num_actions, where))
    if batches[0] != batches[1]:
        raise PolicyError(f'{where}: the input takes {batches[0] or "any number of"} robots, the output gives '
                          f'{batches[1] or "any number of"}. Export the policy again.')
    for name, output in network.states.items():
        _check_state(inputs[name], outputs[output], where)
    if network.time_step is not None:
        number_type(inputs[network.time_step], where)
    if network.reference:
        _check_reference(outputs, manifest, where)
    if manifest.origin is not None and batches[0] not in (None, 1):
        raise PolicyError(f'{where}: takes {batches[0]} robots per call; export it for one.')
    return batches[0]


def _check_state(value: onnx.ValueInfoProto, following: onnx.ValueInfoProto, where: str) -> None:
    """A recurrent network's state and its next value must be the same kind of thing."""
    shapes = [shape_of_one(port) for port in (value, following)]
    if shapes[0] != shapes[1]:
        raise PolicyError(f"{where}: the state '{value.name}' has the shape {shapes[0]}, its next value "
                          f"'{following.name}' {shapes[1]}.")
    types = [number_type(port, where) for port in (value, following)]
    if types[0] != types[1]:
        raise PolicyError(f"{where}: the state '{value.name}' has the type {types[0]}, its next value "
                          f"'{following.name}' {types[1]}.")


def _check_reference(outputs: dict[str, onnx.ValueInfoProto], manifest: Manifest, where: str) -> None:
    """The outputs with a motion must hold a value for each joint that is moved, and the pose of the anchor."""
    reference, anchor = manifest.network.reference, manifest.network.anchor
    missing = [name for name in REFERENCE_NEEDS if name not in reference]
    if missing:
        raise PolicyError(f"{where}: tracks a motion, but 'network.reference' names no output for {missing[0]}.")
    for quantity, name in reference.items():
        number_type(outputs[name], where)
        dims, posed = shape_of_one(outputs[name]), quantity in POSE_SIZES
        length = POSE_SIZES.get(quantity, manifest.num_actions)
        count = math.prod(dims)
        if not count or (dims[-1] != length if posed and dims else count != length):
            raise PolicyError(f"{where}: '{name}', the motion's {quantity}, has the shape {dims}; {length} values are "
                              'needed.')
        if posed and anchor is None and count != length:
            raise PolicyError(f"{where}: '{name}', the motion's {quantity}, holds {count // length} bodies; "
                              "'network.anchor' must say which of them is the anchor.")
        if posed and anchor is not None and not 0 <= anchor < count // length:
            raise PolicyError(f"{where}: 'network.anchor' is {anchor}, but '{name}' holds {count // length} bodies, "
                              'counted from 0.')


def _check_width(value: onnx.ValueInfoProto, sizes: dict[str, int], where: str) -> None:
    """Say which terms make up the width that the observation should have."""
    dims = value.type.tensor_type.shape.dim
    width, total = dims[-1].dim_value if len(dims) else 0, sum(sizes.values())
    if len(dims) == 2 and dims[1].HasField('dim_value') and width != total:
        terms = ' + '.join(f'{name} {size}' for name, size in sizes.items())
        raise PolicyError(f"{where}: its observation '{value.name}' has {width} values, its terms make {total}: {terms}"
                          '. One term, history or joint is missing, or one too many.')


def _check_hash(model: onnx.ModelProto, manifest: Manifest, where: str) -> None:
    digest = graph_sha256(model)
    if digest != manifest.weights_sha256:
        raise PolicyError(f'{where}: the network has the SHA-256 {digest}, the manifest was written for '
                          f'{manifest.weights_sha256}: weights and manifest do not belong together. Export the policy '
                          'again.')
