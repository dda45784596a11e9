"""The command `zoo`: what it prints, what it exits with, and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

FAST = ("--set", "train.epochs=1", "--set", "evaluate.resamples=10", "--set", "embedding_dim=4")
EVENTS = "user,item,rating,timestamp\n" + "".join(
    f"u{user},i{(user * 3 + step * step) % 11},{step % 5 + 1},{1_000_000 + step}\n"
    for user in range(8)
    for step in range(6)
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run trained by the command on a file."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "events.csv").write_text(EVENTS)
    arguments = ["train", "mf", "--data", "events.csv", "--out", "run", *FAST]
    subprocess.run([sys.executable, "-m", "zoo", *arguments], cwd=folder, check=True, capture_output=True)
    return folder / "run"


@pytest.fixture(scope="module")
def exported(trained) -> Path:
    """A bundle made by the command."""
    arguments = ["export", str(trained), "--out", "bundle", "--format", "onnx"]
    subprocess.run([sys.executable, "-m", "zoo", *arguments], cwd=trained.parent, check=True, capture_output=True)
    return trained.parent / "bundle"


def assert_user_error(answer: tuple[int, str, str], *parts: str) -> None:
    code, out, err = answer
    assert code == 2, out + err
    assert "Traceback" not in out + err
    for part in parts:
        assert part in err


# Output


def test_list_shows_every_architecture_and_filters_by_pattern(zoo_command):
    code, out, _ = zoo_command("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == sorted(line.split()[0] for line in out.splitlines())
    learners = {line.split()[0]: line.split()[1] for line in out.splitlines()}
    assert {"mf", "ncf", "autoencoder", "lstm", "elcorec", "popularity"} <= set(learners)
    assert (learners["mf"], learners["popularity"]) == ("pointwise", "closed_form")
    _, out, _ = zoo_command("list", "n*", "--json")
    assert [entry["name"] for entry in json.loads(out)] == ["ncf", "neumf", "ngcf"]


def test_list_neither_imports_tensorflow_nor_takes_long():
    """The time is that of the processor, because other tests may run at the same time."""
    code = "import sys; sys.argv = ['zoo', 'list']; import zoo.cli; zoo.cli.main()"
    watched = f"import atexit, sys\natexit.register(lambda: print('tensorflow' in sys.modules))\n{code}"
    before = os.times()
    ran = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 2
    assert ran.stdout.splitlines()[-1] == "False"


def test_info_shows_hparams_and_gives_near_names_for_a_typo(zoo_command):
    _, out, _ = zoo_command("info", "ncf", "--json")
    assert json.loads(out)["hparams"]["embedding_dim"] == 32
    assert_user_error(zoo_command("info", "nfc"), "Unknown architecture 'nfc'", "ncf")


def test_train_evaluate_recommend_export_and_verify_in_turn(zoo_command, tmp_path):
    Path("events.csv").write_text(EVENTS)
    code, out, err = zoo_command("train", "mf", "--data", "events.csv", "--out", "run", *FAST)
    assert code == 0, err
    assert "full-ranking" in out
    assert "ndcg@10" in out
    assert out.strip().splitlines()[-1].startswith("Beside popularity: ")
    code, out, _ = zoo_command("evaluate", "run", "--part", "valid", "--json")
    assert code == 0
    assert json.loads(out)["protocol"] == "full-ranking"
    asked = ("--set", "evaluate.ks=[2,3]", "--set", "evaluate.negatives.number=5")
    code, out, err = zoo_command("evaluate", "run", "--protocol", "sampled-ranking", *asked)
    assert code == 0, err
    assert "against 5 candidates drawn uniformly (seed 0)" in out
    assert {"hr@2", "hr@3"} <= set(out.split())
    assert "Beside popularity: " in out.strip().splitlines()[-1]
    code, out, _ = zoo_command("recommend", "run", "--user", "u1", "--user", "nobody", "-k", "2", "--json")
    assert [row["rank"] for row in json.loads(out)] == [1, 2, 1, 2]
    code, out, _ = zoo_command("recommend", "run", "--user", "u1", "-k", "2")
    assert "title" in out
    code, out, err = zoo_command("export", "run", "--out", "bundle", "--format", "onnx,tflite", "--json")
    assert code == 0, err
    assert json.loads(out)["formats"] == ["onnx", "tflite"]
    code, out, _ = zoo_command("verify", "bundle")
    assert code == 0
    assert "✓" in out
    assert "✗" not in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "events.csv", "run"]


def test_doctor_finds_this_installation_whole(zoo_command):
    code, out, _ = zoo_command("doctor", "--json")
    assert code == 0
    assert all(check["ok"] for check in json.loads(out))


def test_a_module_run_is_the_command(tmp_path):
    ran = subprocess.run([sys.executable, "-m", "zoo", "list", "mf"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("mf")


# Bad input: a clear message, exit code 2, nothing written


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ("", ["events.csv", "empty"]),
        ("user,item,rating\n", ["events.csv"]),
        ("user,thing,rating\na,b,1\n", ["events.csv", "item"]),
        ("user,item,rating\na,b,1\na,c,good\n", ["events.csv", "row 3", "rating", "good"]),
        ("user,item,rating\na,b,1\n,c,2\n", ["events.csv", "row 3", "user"]),
        ("user,item,timestamp\na,b,1\na,c,soon\n", ["events.csv", "row 3", "timestamp", "soon"]),
        ("user,item,split\na,b,train\na,c,tset\n", ["events.csv", "row 3", "split", "tset"]),
    ],
)
def test_wrong_data_is_named_with_file_row_and_column(events, parts, zoo_command, tmp_path):
    Path("events.csv").write_text(events)
    assert_user_error(zoo_command("train", "mf", "--data", "events.csv", "--out", "run", *FAST), *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["events.csv"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train", "mf", "--data", "evnets.csv"], ["evnets.csv", "events.csv"]),
        (["train", "mff", "--data", "events.csv"], ["'mff'", "'mf'"]),
        (["train", "mf"], ["--data"]),
        (
            ["train", "mf", "--data", "events.csv", "--set", "embeding_dim=3"],
            ["embeding_dim", "embedding_dim"],
        ),
        (["train", "mf", "--data", "events.csv", "--set", "train.epoch=3"], ["'epoch'", "'epochs'"]),
        (["train", "mf", "--data", "events.csv", "--set", "train.epochs=many"], ["train.epochs", "many"]),
        (["train", "mf", "--data", "events.csv", "--set", "epochs"], ["train.epochs=3"]),
        (["train", "mf", "--data", "events.csv", "--set", "split.name=randm"], ["'randm'", "random"]),
        (
            ["train", "mf", "--data", "events.csv", "--set", "train.options.negative=3"],
            ["negative", "negatives"],
        ),
        (["train", "mf", "--data", "events.csv", "--set", "train.optimizer=adm"], ["adm", "adam"]),
        (["train", "mf", "--data", "events.csv", "--set", "evaluate.ks=[50]"], ["50", "catalogue"]),
        (["train", "lstm", "--data", "unordered.csv"], ["lstm", "timestamp"]),
        (["train", "missing.yaml", "--data", "events.csv"], ["missing.yaml"]),
        (["train", "mf", "--data", "ml-1m", "--data-root", "nowhere"], ["nowhere"]),
        (["evaluate", "nowhere"], ["nowhere", "not a run"]),
        (["evaluate", "nowhere", "--set", "train.epochs=3"], ["--set train", "evaluate.NAME"]),
        (["evaluate", "nowhere", "--set", "evaluate.negatives.by=rank"], ["rank", "evaluate.negatives.by"]),
        (["recommend", "nowhere", "--user", "1"], ["nowhere", "not a run"]),
        (["export", "nowhere", "--out", "bundle"], ["nowhere", "not a run"]),
        (["verify", "nowhere"], ["nowhere", "not a bundle"]),
        (["list", "zzz"], ["zzz"]),
    ],
)
def test_a_mistake_exits_with_2_and_writes_nothing(arguments, parts, zoo_command, tmp_path):
    Path("events.csv").write_text(EVENTS)
    frame = pd.read_csv("events.csv")
    frame.drop(columns="timestamp").to_csv("unordered.csv", index=False)
    assert_user_error(zoo_command(*arguments), *parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.csv", "unordered.csv"]


def test_a_folder_that_exists_is_only_replaced_when_asked(zoo_command, trained):
    shutil.copytree(trained, "run")
    Path("events.csv").write_text(EVENTS)
    before = Path("run/run.json").read_bytes()
    again = ("train", "mf", "--data", "events.csv", "--out", "run", *FAST, "--set", "train.seed=1")
    assert_user_error(zoo_command(*again), "run", "--overwrite")
    assert Path("run/run.json").read_bytes() == before
    assert zoo_command(*again, "--overwrite")[0] == 0
    assert Path("run/run.json").read_bytes() != before


@pytest.mark.parametrize("file", ["weights.npz", "data/interactions.parquet", "recipe.json", "config.json"])
@pytest.mark.parametrize("damage", ["truncated", "edited", "missing"])
def test_a_damaged_run_is_refused_by_file_name(file, damage, zoo_command, trained):
    shutil.copytree(trained, "run")
    damaged(Path("run") / file, damage)
    assert_user_error(zoo_command("recommend", "run", "--user", "u1"), Path(file).name)


@pytest.mark.parametrize("damage", ["truncated", "edited", "missing"])
def test_a_damaged_bundle_is_refused_by_file_name(damage, zoo_command, exported):
    shutil.copytree(exported, "bundle")
    damaged(Path("bundle/onnx/recommend.onnx"), damage)
    assert_user_error(zoo_command("verify", "bundle"), "recommend.onnx")


def damaged(path: Path, damage: str) -> None:
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("k", ["0", "12", "1000"])
def test_k_beyond_the_catalogue_is_refused(k, zoo_command, trained):
    assert_user_error(
        zoo_command("recommend", trained, "--user", "u1", "-k", k), "k must be between 1 and the 11 items"
    )
    assert_user_error(
        zoo_command("export", trained, "--out", "bundle", "-k", k), "k must be between 1 and the 11 items"
    )
    assert not Path("bundle").exists()


def test_an_unknown_format_is_refused_with_the_near_names(zoo_command, trained):
    assert_user_error(zoo_command("export", trained, "--out", "bundle", "--format", "onxx"), "'onxx'", "'onnx'")
    assert not Path("bundle").exists()


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (["--quantize", "int4"], ["Unknown quantization 'int4'", "int8"]),
        (["--format", "onnx", "--quantize", "int8"], ["quantize: only for TFLite"]),
        (["--batch", "0"], ["batch must be at least 1"]),
        (["--opset", "3"], ["Cannot write ONNX opset 3", "16 to 21"]),
        (["--set", "train.epochs=3"], ["only settings of export"]),
        (["--set", "export.overlap=2"], ["overlap"]),
        (["--set", "export.overlaps=0.5"], ["overlaps", "overlap"]),
    ],
)
def test_a_wrong_option_of_an_export_is_refused_and_nothing_is_left(zoo_command, trained, options, messages):
    assert_user_error(zoo_command("export", trained, "--out", "bundle", *options), *messages)
    assert not Path("bundle").exists()


def test_quantized_files_are_verified_against_limits_of_ones_own(zoo_command, trained):
    arguments = ("export", trained, "--out", "bundle", "--format", "tflite", "--quantize", "float16,dynamic")
    code, out, err = zoo_command(*arguments, "--set", "export.overlap=0.5", "--set", "export.ndcg_loss=1", "--verbose")
    assert code == 0, err
    assert "✓ tflite-float16 recommend, batch 1" in out
    assert "top-10 overlap" in out
    assert "(at least 0.5)" in out
    assert "✗" not in out
    assert Path("bundle/tflite/model-dynamic.tflite").exists()


def test_ids_with_commas_quotes_emoji_and_leading_zeros_stay_as_they_are(zoo_command):
    users = ['"Miller, A."', '"the ""best"""', "🙂", "007"]
    rows = [f"{user},i{step},{1000 + step}" for user in users for step in range(4)]
    Path("events.csv").write_text("\n".join(["user,item,timestamp", *rows]) + "\n", encoding="utf-8")
    assert zoo_command("train", "mf", "--data", "events.csv", "--out", "run", *FAST, "--set", "evaluate.ks=[1]")[0] == 0
    raw = ["Miller, A.", 'the "best"', "🙂", "007"]
    options = [part for user in raw for part in ("--user", user)]
    _, out, _ = zoo_command("recommend", "run", *options, "-k", "1", "--keep-seen", "--json")
    assert [row["user"] for row in json.loads(out)] == raw
    # 7 is not 007: it is unknown, while the four above are known.
    listed = json.loads(Path("run/data/dataset.json").read_text(encoding="utf-8"))["vocabularies"]["user"]
    assert sorted(listed) == sorted(raw)


def test_oddities_of_the_data_are_counted_and_printed(zoo_command):
    rows = ["a,x,3", "a,y,2", "a,x,1", "b,x,1", "b,z,2", "b,y,3", "c,x,1"]
    Path("events.csv").write_text("\n".join(["user,item,timestamp", *rows]) + "\n")
    Path("items.csv").write_text("item,price,colour\nx,1,red\nz,2,blue\n")
    code, out, err = zoo_command(
        *("train", "mf", "--data", "events.csv", "--out", "run", *FAST, "--set", "evaluate.ks=[1]"),
        *("--set", "split.name=leave-last-out", "--set", "data.items=items.csv"),
    )
    assert code == 0, err
    assert "repeat a user and item" in out
    assert "stood after a later one" in out
    assert "no row in the items table" in out
    assert "1 users" in out or "1 user" in out
