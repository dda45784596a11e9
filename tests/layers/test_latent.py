"""Densities against SciPy and against draws, and the encoder against its formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from zoo import memory
from zoo.errors import UserError
from zoo.layers import (
    DenseResidual,
    NormalSample,
    check_autoencoder,
    divergence_from_standard,
    log_mixture,
    log_normal,
)

RNG = np.random.default_rng(0)
MEAN, LOG_VARIANCE = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))


def test_the_divergence_is_the_closed_form_by_hand():
    # (mean² + variance - 1 - log variance) / 2, of variances 1 and 4: 0 + (1 + 4 - 1 - log 4) / 2.
    found = divergence_from_standard(np.array([[0.0, 1.0]]), np.array([[0.0, np.log(4.0)]]))
    np.testing.assert_allclose(found, [2 - np.log(2.0)], rtol=1e-6)


def test_the_divergence_is_the_mean_of_log_ratios_over_draws():
    deviation = np.exp(0.5 * LOG_VARIANCE)
    draws = MEAN + deviation * np.random.default_rng(1).normal(size=(400_000, 2, 3))
    ratios = (stats.norm.logpdf(draws, MEAN, deviation) - stats.norm.logpdf(draws)).sum(axis=2)
    error = ratios.std(axis=0) / np.sqrt(len(ratios))
    assert (np.abs(divergence_from_standard(MEAN, LOG_VARIANCE) - ratios.mean(axis=0)) < 4 * error).all()


def test_the_log_density_is_that_of_scipy():
    values = RNG.normal(size=(2, 3))
    expected = stats.norm.logpdf(values, MEAN, np.exp(0.5 * LOG_VARIANCE))
    np.testing.assert_allclose(log_normal(values, MEAN, LOG_VARIANCE), expected, rtol=1e-6)


def test_a_mixture_is_the_weighted_sum_of_densities():
    values, weights = RNG.normal(size=(2, 3)), [0.15, 0.75, 0.1]
    deviations = [1.0, np.exp(0.5 * LOG_VARIANCE), np.exp(5.0)]
    densities = [stats.norm.pdf(values, mean, by) for mean, by in zip([0, MEAN, 0], deviations, strict=True)]
    parts = [log_normal(values, 0.0, 0.0), log_normal(values, MEAN, LOG_VARIANCE), log_normal(values, 0.0, 10.0)]
    np.testing.assert_allclose(log_mixture(parts, weights), np.log(np.tensordot(weights, densities, 1)), rtol=1e-5)


def test_a_mixture_far_from_all_of_its_parts_stays_finite():
    assert np.isfinite(float(log_mixture([log_normal(1e4, 0.0, 0.0), log_normal(1e4, 1.0, 0.0)], [0.5, 0.5])))


def test_a_draw_has_the_mean_and_the_deviation_that_it_is_given():
    shape = (100_000, 1)
    drawn = NormalSample()(np.full(shape, 2.0, "float32"), np.full(shape, np.log(9.0), "float32"), training=True)
    draws = np.asarray(drawn)[:, 0]
    assert draws.mean() == pytest.approx(2, abs=4 * 3 / np.sqrt(len(draws)))
    assert stats.kstest(draws, stats.norm(2, 3).cdf).pvalue > 1e-4


def test_a_draw_differs_from_step_to_step_and_is_the_mean_at_serving():
    layer, mean = NormalSample(), np.ones((4, 3), "float32")
    first, second = (np.asarray(layer(mean, mean, training=True)) for _ in range(2))
    assert (first != second).all()
    np.testing.assert_array_equal(layer(mean, mean), mean)


def test_every_layer_of_the_encoder_gets_the_sum_of_those_before():
    layer, inputs = DenseResidual(units=4, depth=3), RNG.normal(size=(5, 6)).astype("float32")
    layer(inputs)
    layer.set_weights([RNG.normal(size=weight.shape) for weight in layer.weights])
    outputs: list[np.ndarray] = []
    for dense, norm in zip(layer.dense, layer.norms, strict=True):
        kernel, bias = dense.get_weights()
        scale, shift = norm.get_weights()
        units = (outputs[-1] if outputs else inputs) @ kernel + bias + sum(outputs)
        units = units * special.expit(units)
        centred = units - units.mean(axis=1, keepdims=True)
        outputs.append(centred / np.sqrt(units.var(axis=1, keepdims=True) + 0.1) * scale + shift)
    np.testing.assert_allclose(layer(inputs), outputs[-1], rtol=1e-4, atol=1e-5)


def test_an_encoder_without_layers_is_refused():
    with pytest.raises(UserError, match="depth of a network must be at least 1"):
        DenseResidual(units=4, depth=0)


def test_a_catalogue_that_does_not_fit_is_refused_with_what_scales(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10**9)
    with pytest.raises(UserError, match=r"1,000,000 items and 600 units needs 9\.6 GB .* 1\.0 GB .*e\.g\. ials"):
        check_autoencoder(1_000_000, 600)
    check_autoencoder(10_000, 600)
