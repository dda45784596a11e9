"""The commands print one line for every artefact whose checks hold, and every check of one that fails."""

from __future__ import annotations

from export.console import CheckPrinter
from export.verification.check import Check

GOOD = [Check("onnx", "recommend", size, 100, "largest difference", size * 1e-8, 1e-5) for size in (1, 3, 64)]
BAD = [Check("tflite", "score", 1, 50, "largest difference", figure, 1e-5) for figure in (1e-7, 1e-2)]


def printed(capsys, checks, verbose=False):
    with CheckPrinter(verbose) as report:
        for check in checks:
            report(check)
    return capsys.readouterr().out.splitlines()


def test_an_artefact_whose_checks_hold_has_one_line(capsys):
    assert printed(capsys, GOOD) == ["✓ onnx: 3 checks, 300 queries, largest difference 6.4e-07"]


def test_an_artefact_that_fails_has_a_line_for_every_check(capsys):
    lines = printed(capsys, [*GOOD, *BAD])
    assert [line[:8] for line in lines] == ["✓ onnx: ", "✓ tflite", "✗ tflite"]
    assert lines[2] == f"✗ {BAD[1]}"


def test_verbose_prints_every_check(capsys):
    assert printed(capsys, GOOD, verbose=True) == [f"✓ {check}" for check in GOOD]
