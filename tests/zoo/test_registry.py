from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo import registry
from zoo.errors import UserError
from zoo.registry import MODELS_FOLDER, MODELS_VARIABLE
from zoo.schema import ROLES

MINE = '''"""Two numbers and a sum.

More on it."""
import zoo
from zoo.layers import Embedding
from zoo.families import Towers

raise_if_run = None


@zoo.register("mine", objective="pointwise", query=("user",), tiny={{"width": 2}}, paper="none yet")
def mine(schema, *, width={width}):
    user, item = schema.input("user"), schema.input("item")
    return Towers(
        query=Embedding(schema.size("user"), width)(user), item=Embedding(schema.size("item"), width)(item)
    )
'''


@pytest.fixture
def own_file(tmp_path, monkeypatch, forgetful_registry):
    """Writes an architecture file that `ZOO_MODELS` names, and forgets it again."""
    monkeypatch.setitem(sys.modules, "zoo_models_mine", None)

    def write(content, name="mine.py"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        monkeypatch.setenv(MODELS_VARIABLE, str(path))
        return path

    return write


# Listing


def test_a_pattern_chooses_names():
    assert zoo.list_models("mf") == ["mf"]
    assert zoo.list_models("el*") == ["elcorec", "elcorec_graph", "elcorec_llm"]
    assert zoo.list_models("*zzz*") == []
    everything = zoo.list_models()
    assert {"autoencoder", "elcorec", "lstm", "mf", "ncf", "popularity"} <= set(everything)
    assert everything == sorted(everything)


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, zoo; names = zoo.list_models(); zoo.info(names[0]); "
        "heavy = {'tensorflow', 'keras', 'pandas', 'scipy', 'sklearn', 'pydantic'}; "
        "print(len(names), *sorted(heavy & set(sys.modules)))"
    )
    environment = {key: value for key, value in os.environ.items() if key != MODELS_VARIABLE}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    number, *imported = done.stdout.split()
    assert int(number) == len(zoo.list_models())
    assert imported == []


@pytest.mark.parametrize("name", zoo.list_models())
def test_a_name_is_that_of_its_function_and_of_its_file(name):
    known = zoo.info(name)
    assert Path(known.file).stem == name
    body = ast.parse(Path(known.file).read_text(encoding="utf-8")).body
    registered = [node.name for node in body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    assert registered == [name]


@pytest.mark.parametrize("name", zoo.list_models())
def test_what_is_known_of_an_architecture_is_complete(name):
    known = zoo.info(name)
    assert known.summary.endswith(".")
    assert set(known.query) <= set(ROLES)
    assert set(known.tiny) <= set(known.hparams)


def test_info_reads_the_same_from_the_file_as_running_it_gives():
    read = {spec.name: spec for spec in registry._read(MODELS_FOLDER / "ncf.py", "zoo.models.ncf")}["ncf"]
    zoo.build("ncf", **read.tiny)
    assert registry._registered["ncf"] == read
    assert read.hparams == {"embedding_dim": 32, "hidden": (64, 32, 16), "dropout": 0.0}


# Mistakes


def test_an_unknown_name_gives_the_near_ones():
    with pytest.raises(UserError, match=r"'elcorek'. Did you mean 'elcorec' or 'elcorec_llm' or 'elcorec_graph'[?]"):
        zoo.info("elcorek")


def test_a_name_like_no_other_gives_all():
    with pytest.raises(UserError, match=r"Valid: .*autoencoder, .*popularity"):
        zoo.build("x")


@pytest.mark.parametrize(
    ("name", "hparams"),
    [
        ("mf", {"embedding_dim": 0}),
        ("mf", {"embedding_dim": -1}),
        ("ncf", {"hidden": (8, 0)}),
        ("lstm", {"units": 0}),
        ("item_autoencoder", {"activation": "sigmoyd"}),
        ("ease", {"l2": float("nan")}),
        ("ials", {"regularization": float("inf")}),
    ],
)
def test_an_hparam_that_no_model_can_be_built_with_is_the_users_mistake(name, hparams):
    with pytest.raises(UserError):
        zoo.build(name, num_users=3, num_items=4, **hparams)


def test_an_unknown_hparam_gives_the_valid_ones():
    with pytest.raises(UserError, match=r"hparam of 'ncf' 'zzz'\. Valid: dropout, embedding_dim, hidden\."):
        zoo.build("ncf", zzz=1)
    with pytest.raises(UserError, match=r"Unknown hparam of 'ncf' 'droput'. Did you mean 'dropout'\?"):
        zoo.build("ncf", droput=0.1)


def test_numbers_of_numpy_are_numbers():
    hparams = {"embedding_dim": np.int64(4), "unobserved_weight": np.float64(0.5)}
    model = zoo.build("ials", num_users=3, num_items=3, **hparams)
    assert model.recipe == zoo.build("ials", num_users=3, num_items=3, embedding_dim=4, unobserved_weight=0.5).recipe


def test_either_a_schema_or_sizes_are_given(datasets):
    with pytest.raises(UserError, match="not both"):
        zoo.build("mf", datasets["ids"].schema, num_users=3)


def test_sizes_make_a_schema():
    model = zoo.build("mf", num_users=3, num_items=4, embedding_dim=2)
    assert model.num_items == 6
    assert model.schema.size("user") == 5
    assert model.recipe["hparams"] == {"embedding_dim": 2, "biases": True}


def test_building_does_not_tie_models_of_one_schema_together(datasets):
    schema = datasets["ids"].schema
    first, second = (zoo.build("mf", schema, embedding_dim=2) for _ in range(2))
    assert not {id(weight) for weight in first.weights} & {id(weight) for weight in second.weights}


# Registering


def test_an_architecture_can_be_registered_at_run_time(own_file):
    from zoo.families import Towers
    from zoo.layers import Embedding

    @zoo.register("at_run_time", objective="pointwise", query=("user",), tiny={"width": 2})
    def at_run_time(schema, *, width=3):
        """A dot product.

        More on it.
        """
        vectors = [Embedding(schema.size(role), width)(schema.input(role)) for role in ("user", "item")]
        return Towers(*vectors)

    assert "at_run_time" in zoo.list_models()
    known = zoo.info("at_run_time")
    assert (known.hparams, known.summary, known.file) == ({"width": 3}, "A dot product.", __file__)
    model = zoo.build("at_run_time", num_users=3, num_items=4, width=5)
    assert model.encode_query({"user": np.array([2])}).shape == (1, 5)
    with pytest.raises(UserError, match=r"hparam of 'at_run_time' 'widht'\. Did you mean 'width'\?"):
        zoo.build("at_run_time", widht=5)


def test_an_architecture_must_declare_what_its_query_reads(own_file):
    path = own_file(MINE.format(width=3).replace('query=("user",)', 'query=("history",)'))
    with pytest.raises(UserError, match=r"declares query=\('history',\) but reads \('user',\)") as error:
        zoo.build("mine")
    assert str(path) in str(error.value)


# Files of one's own


def test_a_file_named_by_the_environment_joins(own_file):
    path = own_file(MINE.format(width=7))
    assert zoo.list_models("mine") == ["mine"]
    known = zoo.info("mine")
    assert known.hparams == {"width": 7}
    assert known.summary == "Two numbers and a sum."
    assert known.file == str(path)
    assert zoo.build("mine", num_users=2, num_items=2).encode_query({"user": np.array([2])}).shape == (1, 7)


def test_a_folder_named_by_the_environment_joins_too(own_file, monkeypatch, tmp_path):
    own_file(MINE.format(width=3))
    (tmp_path / "helper.py").write_text("x = 1\n")
    monkeypatch.setenv(MODELS_VARIABLE, os.pathsep.join([str(tmp_path), ""]))
    assert zoo.list_models("mi*") == ["mine"]


def test_a_file_that_is_only_listed_is_not_run(own_file):
    own_file(MINE.format(width=3).replace("raise_if_run = None", "raise RuntimeError('was run')"))
    assert zoo.info("mine").hparams == {"width": 3}
    with pytest.raises(RuntimeError, match="was run"):
        zoo.build("mine")


def test_a_path_that_does_not_exist_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "none.py"))
    with pytest.raises(UserError, match=r"ZOO_MODELS names '.*none\.py', which does not exist"):
        zoo.list_models()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (MINE.format(width="2 ** wide"), 11),
        (MINE.format(width=3).replace('"mine", obj', "NAME, obj"), 11),
        (MINE.format(width=3).replace("paper=", "papers="), 11),
        (MINE.format(width=3).replace("def mine(schema", "def mine(schema,,"), 12),
    ],
    ids=["default is no literal", "name is no literal", "unknown argument", "syntax error"],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(own_file, content, line):
    path = own_file(content)
    with pytest.raises(UserError) as error:
        zoo.list_models()
    assert str(error.value).startswith(f"{path}, line {line}: ")


def test_a_file_in_another_encoding_is_named(own_file):
    path = own_file("")
    path.write_bytes('"""Größe."""\n'.encode("latin-1"))
    try:
        zoo.list_models()
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_a_name_in_a_file_other_than_the_functions_is_refused(own_file):
    path = own_file(MINE.format(width=3).replace('"mine"', '"yours"'))
    with pytest.raises(UserError, match="architecture 'yours' must have its function's name, 'mine'") as error:
        zoo.info("yours")
    assert str(error.value).startswith(f"{path}, line 11: ")


def test_a_name_in_a_script_other_than_the_functions_is_refused(forgetful_registry):
    with pytest.raises(UserError, match="architecture 'yours' must have its function's name, 'mine'"):

        @zoo.register("yours", objective="pointwise", query=("user",), tiny={})
        def mine(schema):
            raise AssertionError("is never built")

    assert not {"mine", "yours"} & set(zoo.list_models())


# Either an objective or a solver


@pytest.mark.parametrize("given", ["", 'objective="pointwise", solver="closed_form",'], ids=["neither", "both"])
def test_a_file_gives_either_an_objective_or_a_solver(own_file, given):
    path = own_file(MINE.format(width=3).replace('objective="pointwise",', given))
    with pytest.raises(UserError, match="'mine' must have either an objective or a solver") as error:
        zoo.info("mine")
    assert str(error.value).startswith(f"{path}, line 11: ")


@pytest.mark.parametrize("given", [{}, {"objective": "pointwise", "solver": "closed_form"}], ids=["neither", "both"])
def test_a_script_gives_either_an_objective_or_a_solver(forgetful_registry, given):
    with pytest.raises(UserError, match="'mine' must have either an objective or a solver"):

        @zoo.register("mine", query=("user",), tiny={}, **given)
        def mine(schema):
            raise AssertionError("is never built")


def test_a_solved_architecture_has_a_solver_and_no_objective():
    known = zoo.info("ease")
    assert (known.objective, known.solver, known.learner) == ("", "closed_form", "closed_form")
    assert zoo.build("ease", num_users=3, num_items=4).solver is not None


@pytest.mark.parametrize("name", zoo.list_models())
def test_what_an_architecture_declares_is_what_it_is_built_with(name, forgetful_registry):
    known = zoo.info(name)
    if name == "elcorec_llm":
        pytest.importorskip("keras_hub")
    model = zoo.build(name, num_users=3, num_items=4, **known.tiny)
    assert (model.solver is not None) == bool(known.solver)
