from __future__ import annotations

import numpy as np
import pytest
from drawn import normal, shaken
from scipy.special import expit

from zoo.layers import PointwiseAttentionBlock, TimeGapBias
from zoo.layers.pointwise_attention import LEAST_VARIANCE, NUM_GAPS

EXISTS = np.array([[True, True, True, True], [False, False, True, True]])


def normed(vector, norm, least_variance=1e-6):
    gamma, beta = (weight.numpy() for weight in norm.weights)
    return (vector - vector.mean()) / np.sqrt(vector.var() + least_variance) * gamma + beta


def silu(values):
    return values * expit(values)


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("has_bias", [False, True])
def test_a_block_is_the_loop_of_the_paper(num_heads, has_bias):
    events, block = normal(2, 4, 6), PointwiseAttentionBlock(num_heads, length=7)
    bias = normal(2, 4, 4, seed=2) if has_bias else None
    found = shaken(block, events, EXISTS, *([bias] if has_bias else []))
    (project,) = (weight.numpy() for weight in block._project.weights)
    output, output_bias = (weight.numpy() for weight in block._output.weights)
    by_distance = block._by_distance.numpy()
    width = 6 // num_heads
    for row, exists in enumerate(EXISTS):
        parts = [np.split(silu(normed(event, block._norms[0]) @ project), 4) for event in events[row]]
        for place in np.flatnonzero(exists):
            seen = [other for other in range(place + 1) if exists[other]]
            attended = np.zeros(6)
            for head in range(num_heads):
                own = slice(head * width, head * width + width)
                for other in seen:
                    logit = parts[place][2][own] @ parts[other][3][own] + by_distance[place - other]
                    logit += bias[row, place, other] if has_bias else 0.0
                    attended[own] += silu(logit) * parts[other][1][own] / len(seen)
            gated = parts[place][0] * normed(attended, block._norms[1], LEAST_VARIANCE)
            expected = events[row, place] + gated @ output + output_bias
            np.testing.assert_allclose(found[row, place], expected, rtol=1e-4, atol=1e-4)


def test_events_that_see_nothing_have_numbers():
    block = PointwiseAttentionBlock(2, length=4)
    assert np.isfinite(shaken(block, normal(2, 4, 6), np.zeros((2, 4), bool))).all()


def test_the_bias_of_a_gap_lies_between_those_of_the_powers_of_two_around_it():
    ages = np.array([[9.0, 3.0, 2.5, 0.25], [0.0, 0.0, 1.0, 1.0]], np.float32)
    layer = TimeGapBias()
    found, by_gap = shaken(layer, ages), layer._by_gap.numpy()
    for row in range(2):
        for place in range(4):
            asked = ages[row, place + 1] if place < 3 else 0.0
            for other in range(4):
                seconds = max(float(ages[row, other] - asked), 0.0) * 86400
                power = np.log2(1 + seconds)
                expected = np.interp(power, np.arange(NUM_GAPS), by_gap)
                assert found[row, place, other] == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_a_gap_of_centuries_has_the_last_bias():
    layer = TimeGapBias()
    found = shaken(layer, np.array([[1e6]], np.float32))
    assert found[0, 0, 0] == pytest.approx(layer._by_gap.numpy()[-1], abs=5e-3)
