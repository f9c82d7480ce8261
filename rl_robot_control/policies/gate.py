"""The gate that a policy file passes before any runtime sees it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.graph import check_contents, check_memory, fixed_shape
from rl_robot_control.policies.manifest import MANIFEST_KEY, Manifest, parse_manifest

MAX_FILE_BYTES = 64 * 2 ** 20
INPUT, OUTPUT = 'observation', 'action'


@dataclass(frozen=True, kw_only=True)
class CheckedModel:
    """A policy file that passed the gate; the bytes are the ones that were checked."""

    path: Path
    content: bytes
    sha256: str  # of the content
    manifest: Manifest
    batch: int | None  # robots per call; None: any number


def read_policy(path: Path | str, sha256: str | None = None) -> CheckedModel:
    """Read a policy file once and check it.

    Args:
        path: An ONNX file that ``learning.export`` wrote.
        sha256: Expected SHA-256 of the whole file, if one is known.

    Raises:
        PolicyError: The file is missing, malformed, hostile, or has no valid manifest; the message says what to do.
    """
    path = Path(path)
    where, content = path.name, _read(path)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise PolicyError(f'{where}: the file has the SHA-256 {digest}, expected {sha256}. Fetch the right file.')
    model = _parse(content, where)
    check_contents(model, where)
    manifest = _manifest(model, where)
    batch = _check_ports(model, manifest, where)
    check_memory(model, where)
    _check_hash(model, manifest, where)
    return CheckedModel(path=path, content=content, sha256=digest, manifest=manifest, batch=batch)


def graph_sha256(model: onnx.ModelProto) -> str:
    """SHA-256 of the network, weights included, without the metadata around it."""
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise PolicyError(f"policy file '{path}' does not exist or is no regular file; give the path of an exported "
                          '.onnx file.')
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
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise PolicyError(f'{where}: is not an ONNX file, or only a part of one. Copy or export it again.') from None
    if not model.HasField('graph') or not len(model.graph.node):
        raise PolicyError(f'{where}: holds no ONNX graph. Copy or export it again.')
    return model


def _manifest(model: onnx.ModelProto, where: str) -> Manifest:
    texts = [entry.value for entry in model.metadata_props if entry.key == MANIFEST_KEY]
    if not texts:
        raise PolicyError(f"{where}: has no manifest (metadata key '{MANIFEST_KEY}'), so neither joints nor gains are "
                          'known. Export it with rl_robot_control export.')
    if len(texts) > 1:
        raise PolicyError(f'{where}: has {len(texts)} manifests, expected one. Export the policy again.')
    return parse_manifest(texts[0], where)


def _check_ports(model: onnx.ModelProto, manifest: Manifest, where: str) -> int | None:
    """Check input and output against the manifest; returns the batch size, None where it is symbolic."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    for kind, values, name in (('input', inputs, INPUT), ('output', model.graph.output, OUTPUT)):
        names = [value.name for value in values]
        if names != [name]:
            raise PolicyError(f"{where}: the graph has the {kind}s {names}, expected ['{name}'].")
    batches = (fixed_shape(inputs[0], manifest.num_observations, where),
               fixed_shape(model.graph.output[0], manifest.num_actions, where))
    if batches[0] != batches[1]:
        raise PolicyError(f'{where}: the input takes {batches[0] or "any number of"} robots, the output gives '
                          f'{batches[1] or "any number of"}. Export the policy again.')
    return batches[0]


def _check_hash(model: onnx.ModelProto, manifest: Manifest, where: str) -> None:
    digest = graph_sha256(model)
    if digest != manifest.weights_sha256:
        raise PolicyError(f'{where}: the network has the SHA-256 {digest}, the manifest was written for '
                          f'{manifest.weights_sha256}: weights and manifest do not belong together. Export the policy '
                          'again.')
