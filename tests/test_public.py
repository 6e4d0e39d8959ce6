"""What users meet first: names that resolve, one compilation a group."""

import ast
import functools
import logging
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import widthwise as ww
from widthwise.training import streams


@pytest.mark.parametrize("name", ww.__all__)
def test_public_names_resolve_and_are_documented(name):
    value = getattr(ww, name)
    assert (value.__doc__ or "").strip()
    assert name in dir(ww)


def test_every_name_of_the_contract_is_public():
    contract = {"parameterization", "mlp", "PredictiveCoding", "ErrorDescent", "coordinate_check", "transfer", "data"}
    assert contract <= set(ww.__all__)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ww.no_such_name
    assert not hasattr(ww, "Backprops")


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import widthwise.parameterization",
        "import widthwise.sweep",
        "from widthwise.parameterization import Role",
        "import contextlib, widthwise.cli\nwith contextlib.redirect_stdout(None): widthwise.cli.main(['table'])",
    ],
)
def test_the_parameterization_is_callable_whatever_was_imported(before):
    code = f"{before}\nimport widthwise as ww\nprint(float(ww.parameterization('mup').richness))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0.5\n", "")


MISTAKES = {
    "ww.train(net, 'pc', digits, rate=0.1, steps=1)": "algorithm is 'pc': expected one like ww.PredictiveCoding()",
    "ww.train(net, pc, 'digits', rate=0.1, steps=1)": "data is 'digits': expected one like ww.data.digits()",
    "ww.train(net.network, pc, digits, rate=0.1, steps=1)": "expected one like ww.mlp(...)",
    "ww.train(net, pc, digits, rate=None, steps=1)": "rate is None: it must be positive and finite",
    "ww.train(net, pc, digits, rate=0.1, steps=1, loss='mse')": "loss is 'mse': expected one like ww.mse",
    "ww.mlp(64, 8, 10, depth=2, table='mup', key=key)": "table is 'mup': expected one like ww.parameterization",
    "ww.cnn((8, 8), 8, 10, depth=3, table='mup', key=key)": "table is 'mup': expected one like",
    "ww.own_network(lambda size, key: [], 64, 8, table='mup', key=key)": "table is 'mup': expected one like",
    "ww.transfer(build, pc, 'mup', data=digits, widths=[8])": "table is 'mup': expected one like",
    "ww.transfer(build, 'pc', table, data=digits, widths=[8])": "algorithm is 'pc': expected one like",
    "ww.PredictiveCoding('auto')": "relaxation is 'auto': expected one like ww.Automatic()",
}


def test_arguments_of_another_kind_are_named():
    """In a process of its own: here annotations are checked first."""
    code = f"""
import jax, widthwise as ww
key, table, pc = jax.random.key(0), ww.parameterization("mup", algorithm="pc"), ww.PredictiveCoding()
build = lambda width, key: ww.mlp(64, width, 10, depth=2, table=table, key=key)
net, digits = build(8, key), ww.data.digits()
for line in {list(MISTAKES)!r}:
    try:
        eval(line)
    except ww.InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    found = done.stdout.splitlines()
    assert len(found) == len(MISTAKES), done.stderr
    for line, words in zip(found, MISTAKES.values(), strict=True):
        assert words in line


def small(size, table, key):
    return ww.mlp(64, size, 10, depth=2, activation="tanh", table=table, key=key)


def sweeps(caplog, tables, algorithm, rates, widths):
    """The programs of groups that are compiled while tables are swept over widths."""
    caplog.clear()
    data = ww.data.load("digits", examples=64)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        for table in tables:
            build = functools.partial(lambda size, key, table: small(size, table, key), table=table)
            ww.transfer(
                build,
                algorithm,
                table,
                data=data,
                widths=widths,
                log2_rates=rates,
                seeds=2,
                steps=2,
                batch_size=32,
            )
    return sum("Finished XLA compilation of jit(chunk)" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(("name", "widths"), [("bp", (6, 10, 14, 18)), ("dtp", (6, 10))])
def test_tables_of_one_shape_share_their_programs(caplog, name, widths):
    algorithm = {"bp": ww.Backprop, "dtp": lambda: ww.TargetPropagation(ww.TrainedFeedback())}[name]()
    tables = [ww.parameterization(kind, algorithm=name, gauge=gauge) for kind, gauge in (("sp", None), ("mup", "stp"))]
    assert sweeps(caplog, tables, algorithm, (-4, -2, 1), widths) == len(widths)
    # Rates are arguments, and so are the table's multipliers; another optimizer is another program.
    rescaled = [ww.parameterization("mup", algorithm=name, gauge="rescaling")]
    assert sweeps(caplog, rescaled, algorithm, (-6, -4, 1), widths) == 0
    lion = [ww.parameterization("mup", algorithm=name, optimizer="lion")]
    assert sweeps(caplog, lion, algorithm, (-6, -4, 1), widths) == len(widths)


@pytest.mark.filterwarnings("ignore::widthwise.UnsettledWarning")
def test_depth_does_not_add_to_compile_time():
    data = ww.data.load("digits", examples=64)
    table = ww.parameterization("mupc", algorithm="pc")

    def seconds(depth):
        built = ww.residual_mlp(64, 8, 10, depth=depth, table=table, key=streams(0).init)
        rule = ww.PredictiveCoding(ww.ErrorDescent(iterations=2))
        return ww.train(built, rule, data, rate=0.01, steps=1, batch_size=32).compile_seconds

    # In turns, so that what else the machine does is shared; compiled anew each time.
    pairs = [(seconds(128), seconds(8)) for _ in range(2)]
    assert min(deep for deep, _ in pairs) <= 1.5 * min(shallow for _, shallow in pairs)


def test_type_checkers_see_the_same_names():
    # Names are resolved when they are used; a type checker reads them under TYPE_CHECKING.
    seen = set()
    for node in ast.walk(ast.parse(Path(ww.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            seen |= {alias.asname for line in node.body for alias in line.names if alias.asname == alias.name}
    assert seen == set(ww.__all__)
