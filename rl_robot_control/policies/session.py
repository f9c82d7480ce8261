"""One network in ONNX Runtime, on one thread, with preallocated arrays."""

from __future__ import annotations

import numpy as np
import onnxruntime

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import INPUT, OUTPUT, CheckedModel
from rl_robot_control.types import FloatArray


class PolicySession:
    """Evaluates a checked network for N robots at once.

    Args:
        checked: The file.
        num_robots: N.

    Raises:
        PolicyError: The file takes another number of robots, or the runtime refuses it.
    """

    def __init__(self, checked: CheckedModel, num_robots: int) -> None:
        if checked.batch not in (None, num_robots):
            raise PolicyError(f'{checked.path.name}: takes {checked.batch} robots per call, not {num_robots}. Export '
                              'it with a symbolic batch axis.')
        self._where = checked.path.name
        self._session = _session(checked)
        manifest = checked.manifest
        self._input = np.zeros((num_robots, manifest.num_observations), dtype=np.float32)
        self._output = np.zeros((num_robots, manifest.num_actions), dtype=np.float32)
        # The binding holds addresses, so these two arrays must live as long as it does and are never replaced.
        self._binding = self._session.io_binding()
        self._binding.bind_input(INPUT, 'cpu', 0, np.float32, self._input.shape, self._input.ctypes.data)
        self._binding.bind_output(OUTPUT, 'cpu', 0, np.float32, self._output.shape, self._output.ctypes.data)

    def __call__(self, observation: FloatArray) -> np.ndarray:
        """Actions (N, A) float32 of observations (N, D); the array is overwritten by the next call.

        Raises:
            PolicyError: The runtime failed.
        """
        with np.errstate(over='ignore'):  # a value beyond float32 becomes infinite and the output is checked
            np.copyto(self._input, observation, casting='same_kind')
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # the runtime's exceptions share no base but this one
            raise PolicyError(f'{self._where}: ONNX Runtime failed: {error}') from error
        return self._output


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
