"""Benchmark files, and the jobs that they ask for."""

from __future__ import annotations

import pytest
from small_benchmark import TINY, asking, changed, with_pretrained

from zoo.bench.definition import jobs, list_benchmarks, read_benchmark
from zoo.errors import UserError
from zoo.registry import specs


def test_a_benchmark_has_a_job_for_every_label_and_seed(benchmark_of):
    assert [str(job) for job in jobs(benchmark_of(TINY))] == ["pop seed 0", "pop seed 1", "mf-4 seed 0", "mf-4 seed 1"]


def test_the_seed_is_that_of_training_and_of_a_random_split(benchmark_of):
    for job in jobs(benchmark_of(TINY)):
        assert job.config.train.seed == job.seed
        assert job.config.split.options == {"valid": 0.1, "test": 0.2, "seed": job.seed}
    (job,) = jobs(
        benchmark_of(changed(split={"name": "leave-last-out"}, seeds=[3], models={"pop": TINY["models"]["pop"]}))
    )
    assert job.config.split.options == {}


def test_a_model_may_have_seeds_and_data_of_its_own(benchmark_of):
    benchmark = benchmark_of(changed(models__pop={"model": "popularity", "seeds": [7], "data": {"max_history": 3}}))
    first, *_ = jobs(benchmark)
    assert (first.label, first.seed, first.config.data.max_history) == ("pop", 7, 3)
    assert first.config.data.source == "synthetic"
    assert first.config.data.options == TINY["data"]["options"]


def test_a_model_may_have_another_source_and_one_of_its_features_left_out(benchmark_of):
    data = {"source": "other.csv", "features": {"title": "ignore"}}
    benchmark = benchmark_of(changed(data={"source": "one.csv", "label_threshold": 3}, **{"models__mf-4__data": data}))
    pop, mf = (jobs(benchmark, only=[label])[0].config.data for label in ("pop", "mf-4"))
    assert (pop.source, pop.label_threshold, pop.features) == ("one.csv", 3, None)
    assert (mf.source, mf.label_threshold, mf.features) == ("other.csv", 3, {"title": "ignore"})


def test_each_value_of_a_varied_setting_makes_a_job(benchmark_of):
    benchmark = benchmark_of(changed(vary={"data.options.num_items": [30, 40]}, seeds=[0]))
    made = [job for job in jobs(benchmark) if job.label == "pop"]
    assert [job.variant for job in made] == ["data.options.num_items=30", "data.options.num_items=40"]
    assert [job.config.data.options["num_items"] for job in made] == [30, 40]
    assert len({job.digest for job in made}) == 2


def test_quick_is_the_first_of_everything(benchmark_of):
    (job,) = jobs(benchmark_of(changed(vary={"data.options.num_items": [30, 40]}, seeds=[5, 6])), quick=True)
    assert str(job) == "pop data.options.num_items=30 seed 5"


def test_only_the_labels_that_are_asked_for(benchmark_of):
    assert {job.label for job in jobs(benchmark_of(TINY), only=["mf-4"])} == {"mf-4"}
    assert {job.label for job in jobs(benchmark_of(TINY), only=["mf-4", "pop"], quick=True)} == {"mf-4", "pop"}
    with pytest.raises(UserError, match=r"Unknown label 'mf4'\. Did you mean 'mf-4'"):
        jobs(benchmark_of(TINY), only=["mf4"])
    with pytest.raises(UserError, match="no labels under 'quick'"):
        jobs(benchmark_of(changed(quick=[])), quick=True)


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({"models__mf-4__hparams": {"embedding_dim": 5}}, True),
        ({"models__mf-4__train": {"epochs": 3, "batch_size": 64}}, True),
        ({"evaluate": {"ks": [5, 10], "resamples": 10}}, True),
        ({"data__options": {"num_users": 41, "num_items": 30, "num_interactions": 300}}, True),
        ({"about": "Something else", "quick": [], "models__pop": {"model": "popularity"}}, False),
        # A setting at its default is the same whether it is given or not.
        ({"models__mf-4__train": {"epochs": 2, "batch_size": 64, "optimizer": "adam"}}, False),
        ({"models__mf-4__targets": {"hr@5": 0.9}, "models__mf-4__source": "hope"}, False),
    ],
)
def test_the_digest_is_another_one_when_a_setting_is(benchmark_of, change, is_another):
    before, after = (jobs(benchmark_of(said), only=["mf-4"])[0] for said in (TINY, changed(**change)))
    assert (before.digest != after.digest) == is_another
    assert (before.folder != after.folder) == is_another


def test_jobs_that_give_weights_come_first_with_the_same_seed(benchmark_of):
    made = jobs(benchmark_of(with_pretrained()), only=["all"])
    assert [str(job) for job in made] == [
        f"{label} seed {seed}" for seed in (0, 1) for label in ("one", "other", "all")
    ]
    assert made[2].pretrained == {"gmf": made[0], "ncf": made[1]}
    assert len(jobs(benchmark_of(with_pretrained()))) == 6


def test_other_settings_of_a_job_that_gives_weights_make_another_digest(benchmark_of):
    before = {str(job): job.digest for job in jobs(benchmark_of(with_pretrained()))}
    said = with_pretrained()
    said["models"]["one"]["train"]["epochs"] = 2
    after = {str(job): job.digest for job in jobs(benchmark_of(said))}
    assert {name for name in before if before[name] != after[name]} == {
        f"{label} seed {seed}" for label in ("one", "all") for seed in (0, 1)
    }


# Mistakes in a file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": [0]}, "Unknown key 'seed'. Did you mean 'seeds'"),
        ({"models__pop": {"model": "popularity", "target": {}}}, "'models.pop' 'target'. Did you mean 'targets'"),
        (
            {"models__pop": {"model": "popularty"}},
            "models.pop: Unknown architecture 'popularty'. Did you mean 'popularity'",
        ),
        ({"models__mf-4__hparams": {"dim": 4}}, "models.mf-4: Unknown hparam of 'mf' 'dim'"),
        (
            {"models__mf-4__train": {"epoch": 2}},
            "models.mf-4: Unknown setting in 'train' 'epoch'. Did you mean 'epochs'",
        ),
        ({"models__mf-4__train": {"epochs": "many"}}, "models.mf-4: 'many' is not an integer: setting 'train.epochs'"),
        ({"data": {"sources": "synthetic"}}, "lacks the key 'source'"),
        ({"data": {"source": "synthetic", "max_histroy": 3}}, "'max_histroy'. Did you mean 'max_history'"),
        ({"split": {"name": "randm"}}, "Unknown split 'randm'. Did you mean 'random'"),
        ({"evaluate": {"protocl": "labels"}}, "'protocl'. Did you mean 'protocol'"),
        ({"evaluate": {"protocol": "label"}}, "Unknown protocol 'label'. Did you mean 'labels'"),
        ({"seeds": []}, "'seeds'. .*at least 1"),
        ({"seeds": [-1]}, r"-1 is not valid: 'seeds\[0\]'\. Expected: at least 0"),
        ({"models": {}}, "'models'. .*at least 1"),
        ({"models": ["mf"]}, "'models'. Expected: keys and values"),
        ({"models__pop": "popularity"}, "'popularity' is not keys and values: 'models.pop'. Give keys of: model,"),
        ({"models__..": {"model": "mf"}}, r"'models\.\.\..*'\. .*match pattern"),
        ({"quick": ["popp"]}, "Unknown label in 'quick' 'popp'. Did you mean 'pop'"),
        ({"vary": {"fold": [1]}}, "'vary': 'fold' is no dotted setting. Give one such as data.options.fold"),
        ({"vary": {"data.options.fold": []}}, "'vary.data.options.fold'. .*at least 1"),
        ({"vary": {"date.options.fold": [1]}}, "Unknown setting 'date'. Did you mean 'data'"),
        ({"models__pop__targets": {"hr@10": 0.5}}, "Unknown metric in 'targets' 'hr@10'. Did you mean 'hr@5'"),
        ({"models__pop__source": ""}, "models.pop: has targets and no 'source'"),
        ({"models__mf-4__pretrained": {"mf": "pp"}}, "Unknown label in 'pretrained' 'pp'"),
        ({"models__mf-4__pretrained": {"gmf": "pop"}}, "'pretrained' wants 'gmf', and 'pop' is 'popularity'"),
        ({"models__mf-4__pretrained": {"mf": "mf-4"}}, "'pretrained' goes in a circle: mf-4 -> mf-4"),
        (asking(margins={"popp": {"auc": 0.1}}), "models.mf-4: Unknown label in 'margins' 'popp'. Did you mean 'pop'"),
        (asking(margins={"pop": {"acu": 0.1}}), "Unknown metric in 'margins.pop' 'acu'. Did you mean 'auc'"),
        (
            asking(margins={"pop": {"auc": "much"}}),
            "'much' is not valid: 'models.mf-4.margins.pop.auc'. Expected: a number",
        ),
        (
            asking(margins={"pop": {"auc": float("nan")}}),
            "nan is not a finite number: key 'models.mf-4.margins.pop.auc'",
        ),
        (asking(margins={"pop": 0.1}), "'models.mf-4.margins.pop'. Expected: keys and values"),
        (asking(margins=["pop"]), "'models.mf-4.margins'. Expected: keys and values"),
        (asking(margins={"mf-4": {"auc": 0.1}}), "models.mf-4: 'margins' compares 'mf-4' with itself"),
        (asking(seeds=[7]), "'pop', which has no seed in common: .7,. and .0, 1."),
        (asking(data={"source": "ml-1m"}), "'pop', whose data is 'synthetic' and not 'ml-1m'"),
        (asking(evaluate={}), "'margins' need an evaluate.protocol.* Received: None"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file_and_the_place(benchmark_of, change, message):
    with pytest.raises(UserError, match=rf"tiny\.yaml: .*{message}"):
        benchmark_of(changed(**change))


def test_an_unknown_benchmark_gives_the_near_names_and_all_there_are():
    with pytest.raises(UserError, match=r"Unknown benchmark 'synthetc'\. Did you mean 'synthetic'\?.*ncf-ml1m, .*YAML"):
        read_benchmark("synthetc")
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read"):
        read_benchmark("nowhere.yaml")


@pytest.mark.parametrize("name", list_benchmarks())
def test_every_benchmark_that_comes_with_the_package_is_sound(name):
    read, benchmark = read_benchmark(name)
    assert read == name
    assert benchmark.quick
    assert jobs(benchmark, quick=True)
    assert {job.config.model for job in jobs(benchmark)} <= set(specs())
