"""The README says what is so: its table, its commands and its code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.bench.definition import list_benchmarks
from zoo.bench.results import figures, read_rows, recorded_results

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def zoo_command(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None):
    return subprocess.run(
        [sys.executable, "-m", "zoo", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env={**os.environ, **(env or {})},
        timeout=300,
        check=False,
    )


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_table_of_architectures_is_what_the_registry_says():
    written = re.search(r"<!-- architectures:[^>]*-->\n(.*?)<!-- /architectures -->", README, re.DOTALL)
    assert written is not None
    made = zoo_command("list", "--markdown")
    assert written.group(1) == made.stdout, "Run `zoo list --markdown` and put its output into the README."


def test_the_figures_of_clicks_are_those_recorded():
    recorded = {(f.label, f.metric): f.mean for f in figures(read_rows(recorded_results())) if f.benchmark == "ctr"}
    columns = [(data, metric) for data in ("ml-100k", "ml-1m") for metric in ("auc", "log_loss", "auc_cold")]
    written = re.search(r"<!-- clicks:[^>]*-->\n(.*?)<!-- /clicks -->", README, re.DOTALL)
    assert written is not None
    _, _, *rows = written.group(1).strip().splitlines()
    said = {}
    for row in rows:
        name, *cells = (cell.strip(" `") for cell in row.strip("|").split("|"))
        said |= {(f"{data}.{name}", metric): cell for (data, metric), cell in zip(columns, cells, strict=True)}
    assert {key for key, cell in said.items() if cell != "-"} == {key for key in recorded if key[1] != "accuracy"}
    assert all(cell == f"{recorded[key]:.4f}" for key, cell in said.items() if cell != "-")


def test_every_benchmark_is_in_the_table_of_benchmarks():
    for name in list_benchmarks():
        assert f"| `{name}` | " in README


def test_the_two_commands_of_the_start_are_there():
    assert 'pip install -e ".[demo]" && zoo demo' in README
    assert 'pip install -e ".[test]" && pytest' in README


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder in which the shell and Python examples of the README can run."""
    folder = tmp_path_factory.mktemp("readme")
    trained = zoo_command(
        *("train", "mf", "--data", "movielens-sample", "--out", "runs/mf", "--json"),
        *("--set", "train.epochs=1", "--set", "evaluate.resamples=10"),
        cwd=folder,
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["metrics"]
    exported = zoo_command("export", "runs/mf", "--out", "bundles/mf", "--format", "onnx,tflite", cwd=folder)
    assert exported.returncode == 0, exported.stderr
    return folder


@pytest.mark.parametrize("runtime", ["onnxruntime", "ai_edge_litert"])
def test_the_serving_code_runs_and_recommends(runtime, shop):
    (code,) = [block for block in code_blocks("python") if runtime in block]
    ran = subprocess.run([sys.executable, "-c", code], cwd=shop, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert len(re.findall(r"\d+", ran.stdout)) == 5


def test_the_architecture_of_ones_own_trains_from_its_file(tmp_path):
    (code,) = [block for block in code_blocks("python") if '@register("cml"' in block]
    (tmp_path / "cml.py").write_text(code, encoding="utf-8")
    trained = zoo_command(
        *("train", "cml", "--data", "synthetic", "--out", "run", "--json"),
        *("--set", "train.epochs=1", "--set", "evaluate.resamples=10"),
        cwd=tmp_path,
        env={"ZOO_MODELS": "cml.py"},
    )
    assert trained.returncode == 0, trained.stderr
