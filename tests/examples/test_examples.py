"""Every example does what its README line says."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TESTED = ("train_and_recommend.py", "own_table.py", "own_architecture.py", "serve_onnx.py", "tfrs_index.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("examples")


def test_every_example_is_listed_and_tested():
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts == set(TESTED)
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({name})" in readme for name in scripts)


@pytest.mark.slow
def test_train_and_recommend_names_its_protocol_and_the_gain(folder, run_example):
    printed = run_example("train_and_recommend.py", "--epochs", "1", cwd=folder)
    assert "full-ranking" in printed
    assert "interval of the difference" in printed


@pytest.mark.slow
def test_own_table_publishes_a_verified_bundle(folder, run_example):
    printed = run_example("own_table.py", "--epochs", "1", "--out", "shop", cwd=folder)
    assert "leave" in printed.lower()
    assert (folder / "shop" / "manifest.json").exists()


def test_own_architecture_publishes_a_bundle_that_onnx_runtime_serves(folder, run_example):
    run_example("own_architecture.py", "--epochs", "1", "--out", "cml", cwd=folder)
    known = run_example("serve_onnx.py", "cml", "--user", "u0001", cwd=folder).splitlines()
    unknown = run_example("serve_onnx.py", "cml", "--user", "nobody", cwd=folder).splitlines()
    assert len(known) == len(unknown) == 5
    assert known != unknown
    assert all(line.startswith("i") for line in known)
