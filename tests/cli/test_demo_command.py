"""`zoo demo`: what it prints of its runs, of the checks of the bundle, and of what to do next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import zoo.yaml_reader
from export.formats import FORMATS
from export.verification.check import Check, raise_if_failed

# Two architectures that are solved in closed form, on data that is made up.
PLAN = {
    "data": "synthetic",
    "models": ["popularity", "ease"],
    "baseline": "popularity",
    "metric": "ndcg@10",
    "users": 2,
    "k": 3,
}
GOOD = [Check("onnx", "recommend", size, 100, "largest difference", size * 1e-8, 1e-5) for size in (1, 3, 64)]
BAD = [Check("tflite", "score", 1, 50, "largest difference", figure, 1e-5) for figure in (1e-7, 1e-2)]


@pytest.fixture(autouse=True)
def small_plan(monkeypatch):
    """The demo without its long training."""
    read = zoo.yaml_reader.read_yaml
    monkeypatch.setattr(
        zoo.yaml_reader, "read_yaml", lambda path: PLAN if Path(path).name == "demo.yaml" else read(path)
    )


@pytest.fixture
def reported(monkeypatch):
    """An export that writes nothing and reports the checks that a test chooses."""
    checks: list[Check] = []

    def export(run, out, *, report):
        for check in checks:
            report(check)
        raise_if_failed(checks, "Nothing was published.")

    monkeypatch.setattr("export.bundle.publishing.export", export)
    return checks


def ticks(out: str) -> list[str]:
    return [line for line in out.splitlines() if line[:1] in "✓✗" and line]


def test_the_demo_prints_one_line_a_format_and_publishes_what_it_names(zoo_command, tmp_path):
    code, out, _ = zoo_command("demo", "--out", "demo")
    assert code == 0
    assert [line.split(":")[0] for line in ticks(out)] == [f"✓ {name}" for name in FORMATS]
    assert all("checks" in line and "largest difference" in line for line in ticks(out))
    compared = json.loads((tmp_path / "demo" / "comparison.json").read_text())
    assert set(compared) == {"popularity", "ease"}
    for name in compared:
        assert (tmp_path / "demo" / "runs" / name / "run.json").exists()
    assert (tmp_path / "demo" / "bundle" / "README.md").exists()


def test_checks_that_hold_have_one_line_an_artefact(zoo_command, reported):
    reported += GOOD
    code, out, _ = zoo_command("demo", "--out", "demo")
    assert (code, ticks(out)) == (0, ["✓ onnx: 3 checks, 300 queries, largest difference 6.4e-07"])


def test_every_check_has_a_line_with_verbose(zoo_command, reported):
    reported += GOOD
    code, out, _ = zoo_command("demo", "--out", "demo", "--verbose")
    assert (code, ticks(out)) == (0, [f"✓ {check}" for check in GOOD])


def test_every_check_of_an_artefact_that_fails_has_a_line_and_nothing_is_left(zoo_command, reported, tmp_path):
    reported += [*GOOD, *BAD]
    code, out, err = zoo_command("demo", "--out", "demo")
    assert code == 1
    assert ticks(out) == [
        "✓ onnx: 3 checks, 300 queries, largest difference 6.4e-07",
        f"✓ {BAD[0]}",
        f"✗ {BAD[1]}",
    ]
    assert "1 of 5 checks failed. Nothing was published." in err
    assert "Next:" not in out
    assert list(tmp_path.iterdir()) == []


def test_the_demo_ends_with_what_to_do_next_in_the_order_of_use(zoo_command, reported):
    code, out, _ = zoo_command("demo", "--out", "demo")
    assert code == 0
    steps = [line.split("  ")[-1].strip() for line in out.split("Next:\n")[1].splitlines()]
    assert [step.split()[:2] for step in steps] == [
        ["zoo", "recommend"],
        ["zoo", "evaluate"],
        ["see", "'How"],
        ["zoo", "verify"],
        ["zoo", "train"],
        ["zoo", "export"],
    ]
    best = steps[1].removeprefix("zoo evaluate demo/runs/")
    assert best in PLAN["models"]
    assert steps[0].startswith(f"zoo recommend demo/runs/{best} --user ")
    assert steps[3] == "zoo verify demo/bundle"
    assert f"\n{best} recommends:\n" in out


def test_the_table_compares_every_model_with_the_baseline(zoo_command, reported, monkeypatch):
    printed = []
    monkeypatch.setattr("export.commands.demo.print_table", lambda *table: printed.append(table))
    code, _, _ = zoo_command("demo", "--out", "demo")
    assert code == 0
    ((_, columns, rows),) = printed
    assert columns[0] == "model"
    assert columns[-2:] == ["ndcg@10 minus popularity's", "paired bootstrap, 95%"]
    cells = {row[0]: row for row in rows}
    assert set(cells) == set(PLAN["models"])
    assert cells["popularity"][-2:] == ["", "the baseline"]
    assert cells["ease"][-1] in ("better", "worse", "not told apart")
    place = columns.index("ndcg@10")
    difference = float(cells["ease"][place]) - float(cells["popularity"][place])
    assert float(cells["ease"][-2].split()[0]) == pytest.approx(difference, abs=2e-4)
    assert [float(row[place]) for row in rows] == sorted(float(row[place]) for row in rows)
