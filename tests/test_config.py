"""Runs as data: validated, frozen, and every setting that is given either used or refused."""

import json

import pydantic
import pytest
from refusals import refused

from widthwise import config
from widthwise.algorithms import Backprop, PredictiveCoding
from widthwise.inference import ActivityDescent, ErrorDescent, OutputSpaceSolve, SequentialSweep
from widthwise.parameterizations import parameterization, to_json
from widthwise.sweep import content_hash


def rule(**settings):
    run = config.checked({"algorithm": "pc"} | settings)
    return config.algorithm_of(run, config.table_of(run))


def test_runs_are_frozen():
    with pytest.raises(pydantic.ValidationError):
        config.checked({}).width = 3


@pytest.mark.parametrize(
    ("settings", "setting", "value"),
    [
        ({"widht": 3}, "setting", "widht"),
        ({"width": "many"}, "width", "many"),
        ({"width": 1.5}, "width", 1.5),
        ({"gain": float("nan")}, "gain", float("nan")),
        ({"network": "mpl"}, "network", "mpl"),
        ({"schedule": "cosin"}, "schedule", "cosin"),
    ],
)
def test_what_is_no_run(settings, setting, value):
    with refused(setting, value):
        config.checked(settings)


@pytest.mark.parametrize(
    "table",
    [config.NETWORKS, config.ALGORITHMS, config.RELAXATIONS, config.LOSSES],
)
def test_every_name_has_its_object(table):
    for name in table:
        assert callable(config.found(name, table))


def test_schedules_are_those_of_training():
    from widthwise.training import SCHEDULES, schedule

    assert config.SCHEDULES == SCHEDULES
    for name in config.SCHEDULES:
        assert float(schedule(name, 4)(0)) == 1.0


def test_algorithms():
    assert isinstance(rule(algorithm="bp"), Backprop)
    assert isinstance(rule().relaxation, ErrorDescent)
    assert isinstance(rule(relaxation="descent").relaxation, ActivityDescent)
    assert isinstance(rule(relaxation="exact", activation="linear").relaxation, OutputSpaceSolve)
    sweep = rule(relaxation="sweep", iterations=5, sweep_step=0.5)
    assert isinstance(sweep.relaxation, SequentialSweep)
    assert sweep.relaxation.sweeps == 5
    assert float(sweep.relaxation.step) == 0.5


def test_every_setting_of_predictive_coding_arrives():
    found = rule(
        iterations=7,
        tolerance=0.125,
        activity_rate=0.25,
        output_precision=4.0,
        fixed_prediction=True,
        output_loss="unweighted",
    )
    assert isinstance(found, PredictiveCoding)
    assert found.relaxation.iterations == 7
    assert float(found.relaxation.tolerance) == 0.125
    assert float(found.relaxation.rate) == 0.25
    assert float(found.output_precision) == 4.0
    assert found.fixed_prediction is True
    assert found.output_loss == "unweighted"


@pytest.mark.parametrize("name", ["iterations", "tolerance", "activity_rate", "output_precision"])
def test_zero_is_refused_and_not_taken_for_absent(name):
    with refused({"activity_rate": "activity rate"}.get(name, name), 0):
        rule(**{name: 0})
    with refused("--" + name.replace("_", "-"), 0):
        rule(algorithm="bp", **{name: 0})


def test_relaxations_take_what_config_says():
    for name, settings in config.TAKES.items():
        kind = config.found(name, config.RELAXATIONS)
        fields = {field.name for field in kind.__dataclass_fields__.values()}
        assert set(settings.values()) <= fields, name


def test_tables():
    assert config.table_of(config.checked({})) == parameterization("mup")
    settings = {
        "parameterization": "richness",
        "richness": "1/4",
        "optimizer": "adam",
        "base_width": 32,
        "gauge": "mup",
    }
    expected = parameterization("richness", richness="1/4", optimizer="adam", base_width=32, gauge="mup")
    assert config.table_of(config.checked(settings)) == expected


def test_a_tables_file_fixes_the_table():
    table = parameterization("ntp", algorithm="pc", gamma_bar=-1)
    stored = {"parameterization": "mine.json", "table": json.loads(json.dumps(to_json(table)))}
    assert config.table_of(config.checked(stored)) == table
    for name, value in {"optimizer": "adam", "base_depth": 2, "gamma_bar": "0"}.items():
        with refused("--" + name.replace("_", "-"), value) as error:
            config.table_of(config.checked(stored | {name: value}))
        assert "mine.json" in error.value.problem


def test_identity_is_all_that_numbers_depend_on():
    def named(digest="d", **settings):
        run = config.checked(settings)
        return content_hash(config.identity(run, digest, config.table_of(run)))

    first = named()
    # Where files lie does not matter; all else does.
    assert named(data_dir="elsewhere") == first
    others = [
        named("other"),
        named(width=64),
        named(image_size=4),
        named(depth=4),
        named(activation="relu"),
        named(bias=True),
        named(gain=2.0),
        named(base_width=32),
        named(parameterization="ntp"),
        named(loss="ce"),
        named(schedule="cosine"),
        named(steps=3),
        named(batch_size=32),
        named(momentum=0.9),
        named(dtype="float64"),
        named(algorithm="pc"),
        named(algorithm="pc", iterations=3),
        named(algorithm="pc", output_precision=0.5),
        named(algorithm="pc", gamma_bar="-1"),
    ]
    assert len({first, *others}) == 1 + len(others)
