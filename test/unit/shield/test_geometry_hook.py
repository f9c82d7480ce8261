"""Where self-collision and workspace plug in."""

import numpy as np

from rl_robot_control.shield import Shield

from .rig import PERIOD, Rig, make_limits


class Forbidden:
    """Forbids joint 0 to exceed a value, asks for the impossible below, or answers nonsense."""

    def __init__(self, highest):
        self.highest, self.seen = highest, None

    def filter(self, reference, target, lower, upper, state):
        self.seen = reference.copy(), target.copy(), lower.copy(), upper.copy(), state
        chosen = target.copy()
        chosen[:, 0] = np.minimum(chosen[:, 0], self.highest)
        return chosen, {'self_collision': chosen[:, 0] < target[:, 0], 'workspace': np.zeros(target.shape, dtype=bool)}


def rig_with(geometry) -> Rig:
    rig = Rig(make_limits(2))
    rig.shield = Shield(rig.limits, PERIOD, geometry=geometry)
    rig.shield.reset(rig.state())
    return rig


def test_the_geometry_sees_the_clamped_target_and_its_choice_is_reported():
    geometry = Forbidden(0.005)
    output = (rig := rig_with(geometry)).step([0.5, 0.01])
    np.testing.assert_allclose(output.command.position, [[0.005, 0.01]])
    reference, target, lower, upper, state = geometry.seen
    np.testing.assert_allclose(target, [[0.02, 0.01]])  # from rest, 50 · 0.02² = 0.02 rad in one cycle
    np.testing.assert_allclose((reference, lower, upper), [[[0, 0]], [[-0.02, -0.02]], [[0.02, 0.02]]], atol=1e-15)
    assert state.time[0] == rig.now
    assert output.active['self_collision'].tolist() == [[True, False]] and not output.active['workspace'].any()


def test_its_choice_stays_viable_and_nonsense_brakes():
    assert abs(rig_with(Forbidden(-5.0)).step([0.5, 0.0]).command.position[0, 0] + 0.02) < 1e-12
    assert rig_with(Forbidden(np.nan)).step([0.5, 0.0]).command.position[0, 0] == 0.0


def test_a_command_that_it_leaves_alone_passes_bit_for_bit():
    output = rig_with(Forbidden(1.0)).step([0.0123456789, -0.0123456789])
    assert output.command.position.tolist() == [[0.0123456789, -0.0123456789]] and not output.corrected[0]
