from __future__ import annotations

import json

import pytest

VISITS = "customer;product;stars\n1;10;5\n1;20;3\n2;10;4\n2;30;1\n"


@pytest.fixture
def visits(tmp_path):
    (tmp_path / "visits.csv").write_text(VISITS, encoding="utf-8")
    return ["visits.csv", "--set", "data.columns={customer: user, product: item, stars: rating}"]


def test_columns_and_the_settings_that_state_them_are_printed(zoo_command, visits):
    code, out, _ = zoo_command("inspect", *visits)
    assert code == 0
    for expected in ("user (id)", "label (numeric)", "1 to 5", "separator: ;", "customer: user", "stars: rating"):
        assert expected in out


def test_the_settings_are_written_and_can_be_trained_on(zoo_command, visits, tmp_path):
    code, out, _ = zoo_command("inspect", *visits, "--out", "visits.yaml")
    assert code == 0
    assert "zoo train ials --data visits.yaml" in out
    code, _, errors = zoo_command("train", "popularity", "--data", "visits.yaml", "--out", "run")
    assert (code, errors) == (0, "")
    before = (tmp_path / "visits.yaml").read_text(encoding="utf-8")
    code, _, errors = zoo_command("inspect", *visits, "--out", "visits.yaml")
    assert (code, errors) == (2, "Error: visits.yaml: is there already. Name another file.\n")
    assert (tmp_path / "visits.yaml").read_text(encoding="utf-8") == before


def test_the_answer_can_be_json(zoo_command, visits):
    found = json.loads(zoo_command("inspect", *visits, "--json")[1])
    assert [one["taken_for"] for one in found["columns"]] == ["user (id)", "item (id)", "label (numeric)"]
    assert found["settings"]["interactions"]["separator"] == ";"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["visits.csv"], "has no column 'user'"),
        (["visits.csv", "--set", "train.epochs=3"], "Only settings of data are for tables"),
        (["visits.csv", "--set", "data.seperator=;"], "seperator"),
        (["visits.csv", "--items", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_2(zoo_command, visits, arguments, message):
    code, _, errors = zoo_command("inspect", *arguments)
    assert code == 2
    assert message in errors
    assert "Traceback" not in errors
