"""The README says what is so: its table, its commands and its code."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoo.bench.definition import list_benchmarks
from zoo.bench.results import figures, read_rows, recorded_results
from zoo.cli.loader import Commands
from zoo.cli.settings import all_settings
from zoo.config import make_config, parse_settings
from zoo.evaluation.protocols import PROTOCOLS
from zoo.objectives import OBJECTIVES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def zoo_command(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None):
    return subprocess.run(
        [sys.executable, "-m", "zoo", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env={**os.environ, **(env or {})},
        timeout=600,
        check=False,
    )


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def shell_lines() -> list[str]:
    """The commands of all shell examples, one a line."""
    joined = "".join(code_blocks("bash")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own."""
    ran = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran


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


def table_rows(header: str) -> list[list[str]]:
    """The cells of the rows of a table, without the marks of code."""
    rows = README.partition(f"{header}\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert rows
    return [[cell.strip() for cell in row.replace("`", "").strip("|").split("|")] for row in rows]


def test_the_table_of_protocols_is_what_the_registry_says():
    expected = [
        [name, protocol.question, ", ".join(protocol.metric_names((10,))).replace("@10", "@k")]
        for name, protocol in PROTOCOLS.items()
    ]
    assert table_rows("| protocol | question | metrics |") == expected


def test_the_table_of_training_names_settings_and_objectives_that_there_are():
    rows = dict(table_rows("| setting (`--set train.…`) | what it does |"))
    settings = {f"train.{name}" for names in rows for name in names.split(", ")}
    assert settings <= all_settings().keys()
    assert rows["objective"].split(", ") == sorted(OBJECTIVES)


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
def test_the_serving_code_recommends_nothing_that_the_user_has_seen(runtime, shop):
    (code,) = [block for block in code_blocks("python") if runtime in block]
    ran = python(f"{code}\nprint(*seen)", shop)
    items, seen = (re.findall(r"\d+", line) for line in ran.stdout.splitlines())
    assert len(items) == len(set(items)) == 5
    assert len(seen) > 100
    assert not set(items) & set(seen)


def test_the_first_python_example_runs(shop):
    code = "".join(block for block in code_blocks("python")[:1])
    small = '"mf", "synthetic", train={"epochs": 1}, evaluate={"resamples": 10}'
    assert '"ncf", "movielens-sample"' in code
    python(code.replace('"ncf", "movielens-sample"', small), shop)
    assert (shop / "bundles" / "ncf" / "manifest.json").exists()


def test_every_python_block_is_python():
    for block in code_blocks("python"):
        compile(block, "README.md", "exec")


@pytest.mark.slow
def test_the_architecture_of_ones_own_is_as_good_as_it_says(tmp_path):
    (code,) = [block for block in code_blocks("python") if '"cml", objective=' in block]
    (tmp_path / "cml.py").write_text(code, encoding="utf-8")
    (command,) = [line for line in shell_lines() if "zoo train cml" in line]
    said = re.search(r"Its NDCG@10 is (\S+) there, where `popularity` has (\d\.\d+)", README)
    assert said is not None
    commands = (command, "zoo train popularity --data movielens-sample")
    reached = [ndcg_of(*shlex.split(one.partition("zoo ")[2]), cwd=tmp_path) for one in commands]
    assert [f"{value:.2f}" for value in reached] == list(said.groups())


def ndcg_of(*arguments: str, cwd: Path) -> float:
    trained = zoo_command(*arguments, "--json", "--set", "evaluate.resamples=10", cwd=cwd, env={"ZOO_MODELS": "cml.py"})
    assert trained.returncode == 0, trained.stderr
    (figures,) = json.loads(trained.stdout)["metrics"].values()
    return figures["metrics"]["ndcg@10"]["mean"]


@pytest.mark.slow
def test_a_shop_trains_is_exported_and_gets_a_new_catalogue(tmp_path):
    (described,) = [block for block in code_blocks("yaml") if block.startswith("# shop.yaml")]
    (tmp_path / "shop.yaml").write_text(described, encoding="utf-8")
    write_shop(tmp_path)
    (train,) = [line for line in shell_lines() if "shop.yaml" in line]
    (refresh,) = [line for line in shell_lines() if line.startswith("zoo refresh")]
    fast = "--set train.epochs=1 --set evaluate.resamples=10 --set embedding_dim=4"
    for command in (f"{train} {fast}", "zoo export runs/shop --out bundles/shop --format onnx -k 5"):
        ran = zoo_command(*shlex.split(command)[1:], cwd=tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    products = pd.read_csv(tmp_path / "products.csv")
    new = pd.DataFrame({"sku": ["new"], "title": ["A new lamp"], "category": ["a|b"], "price": [3.0]})
    pd.concat([products, new]).to_csv(tmp_path / "products.csv", index=False)
    ran = zoo_command(*shlex.split(refresh)[1:], cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Published" in ran.stdout


def write_shop(folder: Path) -> None:
    """Tables as the README's `shop.yaml` describes them."""
    rng = np.random.default_rng(0)
    orders = pd.DataFrame({"customer_no": np.repeat(np.arange(20), 8), "bought_at": np.arange(160) + 1_600_000_000})
    orders["sku"] = [f"s{item}" for _ in range(20) for item in rng.permutation(15)[:8]]
    orders["basket_size"] = rng.integers(1, 9, len(orders))
    orders.to_parquet(folder / "orders.parquet")
    customers = pd.DataFrame({"customer_no": range(20), "age": rng.integers(18, 80, 20), "zip": range(20)})
    customers.to_csv(folder / "customers.csv", index=False)
    products = pd.DataFrame({"sku": [f"s{item}" for item in range(15)], "price": rng.normal(10, 3, 15)})
    products["title"] = [f"Lamp number {item}" for item in range(15)]
    products["category"] = ["a|b" if item % 2 else "b|c" for item in range(15)]
    products.to_csv(folder / "products.csv", index=False)


@pytest.mark.parametrize("line", shell_lines(), ids=lambda line: line[:40])
def test_every_command_has_the_options_and_settings_that_it_is_shown_with(line):
    _, found, command = re.sub(r"#.*", "", line).rpartition("zoo ")
    if not found:
        return
    name, *arguments = shlex.split(command)
    context = Commands().get_command(None, name).make_context(name, arguments)
    settings = parse_settings([one for one in context.params.get("settings") or [] if one.count(".")])
    if context.params.get("model") and settings:
        make_config("mf", {key: value for key, value in settings.items() if key != "hparams"})
