import itertools

import pytest

from widthwise import report


def row(name, width, depth, seed, step):
    """A made-up law: κ = 8 L² for mupc, times 10 after training, and the seed's factor."""
    kappa = (8.0 * depth**2 if name == "mupc" else 2.0**depth * width) * (10 if step else 1) * (1, 2, 30)[seed]
    return {
        "parameterization": name, "width": width, "depth": depth, "seed": seed, "step": step, "condition_number": kappa,
    }  # fmt: skip


def rows(names=("sp", "mupc"), steps=(0, 50, 100)):
    return [row(*key) for key in itertools.product(names, (16, 32), (4, 8, 16), (0, 1, 2), steps)]


def drawn(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}


def test_lines_are_medians_against_depth_and_width():
    figure = report.conditioning_figure({"rows": rows()})
    by_depth, by_width = (drawn(axes) for axes in figure.axes[2:])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["sp", "sp", "mupc", "mupc"]
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    # The seeds' factors have median 2; only the first and the last step are drawn.
    assert set(by_depth) == {f"width {width}, step {step}" for width in (16, 32) for step in (0, 100)}
    assert by_depth["width 16, step 0"] == ([4, 8, 16], [256.0, 1024.0, 4096.0])
    assert by_depth["width 32, step 100"] == ([4, 8, 16], [2560.0, 10240.0, 40960.0])
    assert by_width["depth 8, step 0"] == ([16, 32], [1024.0, 1024.0])
    assert drawn(figure.axes[1])["depth 4, step 0"] == ([16, 32], [512.0, 1024.0])


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_diverged_network_is_left_out(value):
    several = rows(("mupc",), (0,))
    next(one for one in several if one["depth"] == 8 and one["width"] == 16)["condition_number"] = value
    lines = drawn(report.conditioning_figure({"rows": several}).axes[0])
    assert lines["width 16, step 0"][0] == [4, 16]
    assert lines["width 32, step 0"][0] == [4, 8, 16]


def test_is_saved_with_words(tmp_path):
    figure = report.conditioning_figure({"rows": rows()})
    text = report.save(figure, tmp_path / "kappa.svg").read_text()
    assert "Condition number of the activity Hessian" in text
    # Mathematics as text is off: no raw markup at the ticks.
    assert "mathdefault" not in text
