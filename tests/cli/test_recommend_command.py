"""`zoo recommend` for users who are known by their features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def saved(make_run, datasets, tmp_path_factory) -> Path:
    """A run on data with user features."""
    return make_run("mf", datasets["features"]).save(tmp_path_factory.mktemp("features") / "run")


@pytest.fixture(scope="module")
def saved_without(make_run, datasets, tmp_path_factory) -> Path:
    """A run on data without user features."""
    return make_run("mf", datasets["ids"]).save(tmp_path_factory.mktemp("ids") / "run")


def test_features_stand_for_a_user_and_users_come_first(zoo_command, saved):
    records = ("--features", '{"age": 34}', "--features", '{"group": "odd", "user": "zoe"}')
    code, out, err = zoo_command("recommend", saved, *records, "--user", "u01", "-k", "1", "--json")
    assert code == 0, err
    rows = json.loads(out)
    assert [row["user"] for row in rows] == ["u01", "record 1", "zoe"]
    assert [sorted(row) for row in rows] == [["item", "known", "rank", "score", "title", "user"]] * 3
    code, out, _ = zoo_command("recommend", saved, "--features", '{"age": 34}', "-k", "1")
    assert code == 0
    assert "record 1" in out


def test_unknown_users_are_counted(zoo_command, saved):
    code, out, err = zoo_command("recommend", saved, "--user", "nobody", "--user", "u01", "-k", "1", "--json")
    assert code == 0
    assert [row["known"] for row in json.loads(out)] == [False, True]
    assert err == "Warning: 1 of 2 users are unknown, e.g. 'nobody'. They get the answer to an unknown user.\n"


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["Nobody was named", "--user", "--features"]),
        (["--features", "{age: 34}"], ["--features", "{age: 34}", "no JSON", '{"age": 34}']),
        (["--features", "34"], ["--features", "expected a JSON object", "34"]),
        (["--features", '[{"age": 34}]'], ["--features", "expected a JSON object"]),
        (["--features", "{}"], ["record 1", "says nothing", "age, group"]),
        (["--features", '{"aeg": 34}'], ["Unknown key of record 1 'aeg'", "'age'"]),
        (["--features", '{"age": "old"}'], ["record 1", "'age' is a finite number", "'old'"]),
        (["--features", '{"age": NaN}'], ["record 1", "'age' is a finite number"]),
        (["--features", '{"group": ["odd"]}'], ["record 1", "'group' is one category"]),
        (["--user", "u01", "--features", '{"user": "u01", "age": 3}'], ["record 1", "'u01' is known"]),
        (["--features", '{"age": 34}', "-k", "31"], ["k must be between 1 and the 30 items"]),
    ],
)
def test_a_mistake_exits_with_2_and_says_how_to_mend_it(zoo_command, saved, options, parts):
    code, out, err = zoo_command("recommend", saved, *options)
    assert code == 2, out + err
    assert "Traceback" not in out + err
    for part in parts:
        assert part in err


def test_data_without_user_features_is_named(zoo_command, saved_without):
    code, _, err = zoo_command("recommend", saved_without, "--features", '{"age": 34}')
    assert code == 2
    assert "small has no user features" in err
