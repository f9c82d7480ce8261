"""One network in ONNX Runtime, on one thread, with preallocated arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import CheckedModel
from rl_robot_control.tasks.motion import Reference
from rl_robot_control.types import FloatArray

_TYPES = {'tensor(float)': np.float32, 'tensor(double)': np.float64, 'tensor(int64)': np.int64,
          'tensor(int32)': np.int32}


class PolicySession:
    """Evaluates a checked network for N robots.

    A network with a free batch axis and no memory answers all robots in one call; any other one is called once for
    each of them.

    Args:
        checked: The file.
        num_robots: N.

    Raises:
        PolicyError: The file takes another number of robots, or the runtime refuses it.
    """

    def __init__(self, checked: CheckedModel, num_robots: int) -> None:
        manifest, network = checked.manifest, checked.manifest.network
        if checked.batch not in (None, 1, num_robots):
            raise PolicyError(f'{checked.path.name}: takes {checked.batch} robots per call, not {num_robots}. Export '
                              'it with a symbolic batch axis.')
        self._where, self._session = checked.path.name, _session(checked)
        self._network, self.num_robots = network, num_robots
        together = checked.batch != 1 and not network.states and network.time_step is None
        chunk = num_robots if together else 1
        self._observation = np.zeros((num_robots, manifest.num_observations), dtype=np.float32)
        self._action = np.zeros((num_robots, manifest.num_actions), dtype=np.float32)
        ports = {port.name: port for port in (*self._session.get_inputs(), *self._session.get_outputs())}
        self._time_step = self._arrays(ports, [network.time_step] if network.time_step else [])
        self._states = self._arrays(ports, network.states)
        self._next_states = self._arrays(ports, network.states.values())
        self._reference = self._arrays(ports, network.reference.values())
        inputs = {network.observation: self._observation, **self._time_step, **self._states}
        # Bindings hold addresses, so these arrays must live as long as they do and are never replaced.
        starts = range(0, num_robots, chunk)
        self._act = [self._bind(inputs, {network.action: self._action, **self._next_states}, i, chunk) for i in starts]
        self._refer = [self._bind(inputs, self._reference, i, chunk) for i in starts] if self._reference else []

    def __call__(self, observation: FloatArray, time_step: np.ndarray | int = 0) -> np.ndarray:
        """Actions (N, A) float32 of observations (N, D); the array is overwritten by the next call.

        Args:
            observation: (N, D).
            time_step: (N,) control periods since the motion began, for networks that ask for it.

        Raises:
            PolicyError: The runtime failed.
        """
        with np.errstate(over='ignore'):  # a value beyond float32 becomes infinite and the output is checked
            np.copyto(self._observation, observation, casting='same_kind')
        self._set_time(time_step)
        self._run(self._act)
        return self._action

    def remember(self) -> None:
        """Take the latest outputs of a recurrent network as its state."""
        for name, output in self._network.states.items():
            np.copyto(self._states[name], self._next_states[output])

    def forget(self, index: np.ndarray | slice = slice(None)) -> None:
        """Set the state of a recurrent network to zero for some robots."""
        for state in self._states.values():
            state[index] = 0

    def reference(self, time_step: np.ndarray | int) -> Reference:
        """The motion at time steps (N,)."""
        self._set_time(time_step)
        self._run(self._refer)
        network = self._network
        values = {quantity: self._reference[output].astype(np.float64) for quantity, output in
                  network.reference.items()}
        for name in ('anchor_position', 'anchor_quaternion'):
            if name in values and network.anchor is not None:
                values[name] = values[name].reshape(self.num_robots, -1, values[name].shape[-1])[:, network.anchor]
        values = {name: value.reshape(self.num_robots, -1) for name, value in values.items()}
        if network.quaternions == 'wxyz':
            values['anchor_quaternion'] = values['anchor_quaternion'][:, [1, 2, 3, 0]]
        values.setdefault('anchor_position', np.full((self.num_robots, 3), np.nan))
        return Reference(**values)

    def _set_time(self, time_step: np.ndarray | int) -> None:
        for array in self._time_step.values():
            array.reshape(self.num_robots, -1)[:] = np.broadcast_to(time_step, self.num_robots)[:, None]

    def _arrays(self, ports: dict[str, Any], names: Any) -> dict[str, np.ndarray]:
        """An array (N, *shape for one robot) for each input or output."""
        return {name: np.zeros((self.num_robots, *(d if isinstance(d, int) else 1 for d in ports[name].shape)),
                               dtype=_TYPES[ports[name].type]) for name in names}

    def _bind(self, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray], start: int, count: int) -> Any:
        binding, network = self._session.io_binding(), self._network
        # array[start, ...]: array[start] of a port without axes is a number, not a view.
        for name, array in inputs.items():
            part = array[start:start + count] if name == network.observation else array[start, ...]
            binding.bind_input(name, 'cpu', 0, array.dtype.type, part.shape, part.ctypes.data)
        for name, array in outputs.items():
            part = array[start:start + count] if name == network.action else array[start, ...]
            binding.bind_output(name, 'cpu', 0, array.dtype.type, part.shape, part.ctypes.data)
        return binding

    def _run(self, bindings: list[Any]) -> None:
        try:
            for binding in bindings:
                self._session.run_with_iobinding(binding)
        except Exception as error:  # the runtime's exceptions share no base but this one
            raise PolicyError(f'{self._where}: ONNX Runtime failed: {error}') from error


def _session(checked: CheckedModel) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # The default pool takes every core and starves the control loop; networks of this size gain nothing from it.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # errors are raised; the runtime's own lines would only repeat them
    try:
        return onnxruntime.InferenceSession(checked.content, options, providers=['CPUExecutionProvider'])
    except Exception as error:  # the runtime's exceptions share no base but this one
        raise PolicyError(f'{checked.path.name}: ONNX Runtime refuses the model: {error}') from error
