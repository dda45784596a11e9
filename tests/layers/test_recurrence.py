from __future__ import annotations

import numpy as np
import pytest
from drawn import normal

from zoo.errors import UserError
from zoo.layers import LinearRecurrence


def numbers(layer):
    """The complex number that a state is multiplied by, and the scale of what comes in."""
    decay, angle, scale = (np.exp(weight.numpy().astype(float)) for weight in layer.weights)
    return np.exp(-decay + 1j * angle), scale


@pytest.mark.parametrize("length", [1, 2, 3, 8, 50, 65])
def test_states_are_those_of_a_plain_loop(length):
    inputs, layer = normal(2, length, 6), LinearRecurrence()
    found = layer(inputs).numpy()
    factor, scale = numbers(layer)
    for row in range(2):
        state = np.zeros(3, complex)
        for place, event in enumerate(inputs[row]):
            state = factor * state + scale * (event[:3] + 1j * event[3:])
            np.testing.assert_allclose(found[row, place], [*state.real, *state.imag], rtol=1e-4, atol=1e-4)


def test_numbers_lie_in_the_ring_at_first_and_states_keep_their_size():
    layer = LinearRecurrence(smallest=0.5, largest=0.9)
    layer.build((None, 4, 2000))
    factor, scale = numbers(layer)
    assert (np.abs(factor) >= 0.4999).all()
    assert (np.abs(factor) <= 0.9001).all()
    # Uniform in the area of the ring.
    assert np.mean(np.abs(factor) ** 2) == pytest.approx((0.25 + 0.81) / 2, abs=0.02)
    assert np.std(np.angle(factor)) == pytest.approx(np.pi / np.sqrt(3), rel=0.05)
    np.testing.assert_allclose(scale**2 + np.abs(factor) ** 2, 1, atol=1e-5)


@pytest.mark.parametrize(("smallest", "largest"), [(0.9, 0.8), (-0.1, 0.5), (0.5, 1.0)])
def test_sizes_that_make_no_ring_are_refused(smallest, largest):
    with pytest.raises(UserError, match=rf"smallest < largest < 1\. Received: {smallest} and {largest}"):
        LinearRecurrence(smallest, largest)
