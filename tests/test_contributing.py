"""CONTRIBUTING shows what it promises: each of its examples is one file, and works as one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", TEXT, re.DOTALL))
COMMANDS = re.findall(r"^(ZOO_\w+=.*)$", TEXT, re.MULTILINE)
ARCHITECTURES = ("centroid.py",)
FAST = ("--set", "train.epochs=1", "--set", "evaluate.resamples=10", "--set", "hparams.embedding_dim=4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The examples as files, and a run that was trained with two of them."""
    made = tmp_path_factory.mktemp("contributing")
    for name, code in FILES.items():
        (made / name).write_text(code, encoding="utf-8")
    ran = zoo_command(
        *("train", "centroid", "--data", "synthetic", "--out", "run", *FAST),
        *("--set", "train.objective=hinge", "--set", "train.options.negatives=2", "--set", "train.monitor=f1@10"),
        cwd=made,
        files=("hinge.py", "f1.py"),
    )
    assert ran.returncode == 0, ran.stderr
    return made


def zoo_command(*arguments: str, cwd: Path, files: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Runs the command with some of the examples."""
    environment = {**os.environ, "ZOO_MODELS": os.pathsep.join(ARCHITECTURES), "ZOO_PLUGINS": os.pathsep.join(files)}
    command = [sys.executable, "-m", "zoo", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_every_example_is_one_file_that_a_command_of_the_page_names():
    named = {file for command in COMMANDS for file in re.findall(r"\w+\.py", command)}
    assert named == set(FILES)
    assert len(COMMANDS) == len(FILES) == len(re.findall(r"^## Add ", TEXT, re.MULTILINE))


def test_the_architecture_and_the_objective_train_and_early_stopping_watches_the_metric(folder):
    config = json.loads((folder / "run" / "config.json").read_text())
    assert (config["model"], config["train"]["objective"]) == ("centroid", "hinge")
    assert "f1@10" in (folder / "run" / "history.csv").read_text().splitlines()[0]
    (figures,) = json.loads((folder / "run" / "metrics.json").read_text()).values()
    assert 0 < figures["metrics"]["f1@10"]["mean"] < 1


def test_the_protocol_is_in_the_help_and_evaluates_fewer_users(folder):
    assert "newcomers" in zoo_command("evaluate", "--help", cwd=folder, files=("newcomers.py",)).stdout
    ran = zoo_command("evaluate", "run", "--json", "--protocol", "newcomers", cwd=folder, files=("newcomers.py",))
    assert ran.returncode == 0, ran.stderr
    of_all = zoo_command("evaluate", "run", "--json", cwd=folder, files=())
    newcomers, everybody = (int(json.loads(one.stdout)["about"].split()[0].replace(",", "")) for one in (ran, of_all))
    assert 0 < newcomers < everybody


def test_the_command_runs(folder):
    ran = zoo_command("users", "run", cwd=folder, files=("users.py",))
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 1


def test_the_dataset_and_the_text_encoder_make_a_run(folder):
    ran = zoo_command(
        *("train", "two_tower", "--data", "weekdays", "--out", "texts", "--set", "data.options.people=20"),
        *("--set", "data.features={title: {kind: text, encoder: letters, dim: 8}}", *FAST),
        cwd=folder,
        files=("weekdays.py", "letters.py"),
    )
    assert ran.returncode == 0, ran.stderr
    described = json.loads((folder / "texts" / "recipe.json").read_text())["schema"]
    (title,) = [feature for feature in described if feature["name"] == "title"]
    assert (title["kind"], title["size"]) == ("text", 8)


def test_the_format_is_exported_and_verified(folder):
    assert zoo_command("train", "mf", "--data", "synthetic", "--out", "mf", *FAST, cwd=folder, files=()).returncode == 0
    ran = zoo_command("export", "mf", "--out", "bundle", "--format", "vectors", cwd=folder, files=("vectors.py",))
    assert ran.returncode == 0, ran.stderr
    assert (folder / "bundle" / "vectors" / "vectors.npz").exists()
    assert "vectors" in (folder / "bundle" / "README.md").read_text(encoding="utf-8")
    ran = zoo_command("verify", "bundle", cwd=folder, files=("vectors.py",))
    assert ran.returncode == 0, ran.stderr


def test_the_weighting_is_an_hparam_of_item_neighbours(folder):
    hparams = ("--set", "hparams.weighting=sparing", "--set", "evaluate.resamples=10")
    ran = zoo_command(
        *("train", "itemknn", "--data", "synthetic", "--out", "neighbours", *hparams), cwd=folder, files=("sparing.py",)
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads((folder / "neighbours" / "recipe.json").read_text())["hparams"]["weighting"] == "sparing"
