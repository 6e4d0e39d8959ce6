"""`tune`: one program for all rates, what is stored is not run again, and the rate that is handed on."""

import math

import pytest
from refusals import refused
from training.toys import from_table, toy

from widthwise.algorithms import Backprop, PredictiveCoding
from widthwise.inference import ErrorDescent
from widthwise.parameterizations import parameterization
from widthwise.sweep import Group, RunStore, Training, _tune, run_search, transfer, tune
from widthwise.sweep import _train_group as _run
from widthwise.sweep._tune import labels_of

TABLE = parameterization("mup", base_width=8)
SHORT = {"steps": 2, "batch_size": 8}
BEST = -3.3


def build(key):
    return from_table(TABLE, width=8, depth=2, bias=False)


def wide(key):
    return from_table(TABLE, width=128, depth=2, bias=False)


def group(activity=None):
    labels = labels_of(build(None), Backprop(), TABLE)
    return Group(build, Backprop(), TABLE, labels, activity)


class Bowl:
    """Stands for training: losses whose best rate is known, and how many runs were asked for."""

    def __init__(self, stop_after=None, diverge=False):
        self.calls, self.stop_after, self.diverge = [], stop_after, diverge

    def __call__(self, group, data, training, seeds):
        def run(members, on_runs):
            if self.stop_after == len(self.calls):
                raise KeyboardInterrupt
            self.calls.append([one.log2_rate for one in members])
            rows = [
                group.described()
                | one._asdict()
                | {"diverged": self.diverge, "final_loss": math.exp((one.log2_rate - BEST) ** 2) * (1 + 0.1 * one.seed)}
                for one in members
            ]
            on_runs(rows)
            return rows

        return run


@pytest.fixture
def bowl(monkeypatch):
    found = Bowl()
    monkeypatch.setattr(_tune, "group_runner", lambda *rest: found(*rest))
    return found


def searched(store=None, told=None, runs=40):
    settings = {"width": 8}
    axes = [[-6.0, -5.0, -4.0, -3.0, -2.0]]
    on_runs = [].extend if told is None else told.extend
    return run_search(
        group(), toy(), Training(), axes, runs, 2, settings=settings, identity=settings, store=store, on_runs=on_runs
    )


def test_the_best_rate_is_handed_on(bowl):
    told = []
    result = searched(told=told)
    assert result.log2_rate == pytest.approx(BEST)
    assert result.rate == pytest.approx(2**BEST)
    assert result.log2_activity_rate is None
    payload = result.payload
    assert payload["runs"] == len(told) == len(payload["curves"]) == 2 * len({row["log2_rate"] for row in told})
    assert (payload["at_edge"], payload["at_cliff"]) == (False, False)
    assert payload["settings"] == {"width": 8}
    assert f"best: log2 rate {BEST:.3f} (rate {2**BEST:.4g})" in result.summary()
    # Both seeds of a rate, one after the other.
    assert bowl.calls[0] == [-6, -6, -5, -5, -4, -4, -3, -3, -2, -2]


def test_a_search_that_was_stopped_goes_on(bowl, tmp_path):
    bowl.stop_after = 2
    with RunStore.open(tmp_path, kind="tune", spec={}) as store, pytest.raises(KeyboardInterrupt):
        searched(store)
    before, bowl.calls, bowl.stop_after, told = bowl.calls, [], None, []
    with RunStore.open(tmp_path, kind="tune", spec={}) as store:
        resumed = searched(store, told)
    after, bowl.calls = bowl.calls, []
    whole = searched()
    # What was stored is told, and not run again: the two halves are the whole.
    assert before + after == bowl.calls
    assert resumed.payload["curves"] == whole.payload["curves"]
    assert resumed.log2_rate == whole.log2_rate
    assert len(told) == len(whole.payload["curves"])


def test_where_all_diverge_there_is_no_rate(bowl):
    bowl.diverge = True
    with refused("log2 rates", (-6.0, -2.0)):
        searched()


@pytest.mark.parametrize(("runs", "seeds"), [(2, 3), (3, 0), (0, 0)])
def test_budgets_below_the_seeds_are_refused(runs, seeds):
    with refused("seeds", seeds):
        tune(build, Backprop(), TABLE, data=toy(), runs=runs, seeds=seeds, **SHORT)


def test_one_program_for_all_rates(monkeypatch):
    made, program = [], _run._program_of
    _run._shared_program.cache_clear()
    monkeypatch.setattr(_run, "_program_of", lambda *rest: made.append(program(*rest)) or made[-1])
    result = tune(wide, Backprop(), TABLE, data=toy(), log2_rates=(-6, -4, 1), runs=14, seeds=2, **SHORT)
    (compiled,) = made
    assert result.payload["runs"] > 6
    assert compiled._cache_size() == 1


def test_runs_are_those_of_transfer():
    rates = (-6, -3, 1)
    found = tune(build, Backprop(), TABLE, data=toy(), log2_rates=rates, runs=8, seeds=2, search="grid", **SHORT)
    swept = transfer(
        lambda width, key: build(key), Backprop(), TABLE, data=toy(), widths=[8], log2_rates=rates, seeds=2, **SHORT
    )

    def losses(rows):
        return {(row["seed"], row["log2_rate"]): row["final_loss"] for row in rows}

    assert losses(found.payload["curves"]) == pytest.approx(losses(swept.curves), rel=1e-12)


def test_activity_rates_are_searched_beside():
    table = parameterization("mup", algorithm="pc", base_width=8)
    rule = PredictiveCoding(ErrorDescent(iterations=2))
    found = tune(
        lambda key: from_table(table, width=8, depth=2, bias=False), rule, table, data=toy(), log2_rates=(-6, -4, 1),
        log2_activity_rates=(-2, -1, 1), runs=8, seeds=1, **SHORT,
    )  # fmt: skip
    assert found.payload["runs"] == 8
    assert -2 <= found.log2_activity_rate <= -1
    with refused("algorithm", "bp"):
        tune(build, Backprop(), TABLE, data=toy(), log2_activity_rates=(-2, -1, 1), runs=80, **SHORT)
