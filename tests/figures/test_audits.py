"""What audits have found, drawn."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from lookahead.auditing.findings import Order, Place, Verdict
from lookahead.auditing.meter import ALONE, REVERSED, SEVERAL, WITH_TEACHER
from lookahead.auditing.report import Audit
from lookahead.errors import LookaheadError
from lookahead.evaluation.statistics import Interval
from lookahead.figures import audits
from lookahead.figures.style import MEANING
from lookahead.tasks.own_data.table import Facts


@pytest.fixture(autouse=True)
def style() -> None:
    audits.use_style()
    plt.close("all")


def costs(value: float) -> Interval:
    return Interval(value, value - 0.1, value + 0.1)


def audit(decision: int | None = 1, half: Interval | None = None) -> Audit:
    cheat = [0.0, 0.7, 0.02, 0.0]
    places = [Place(i, 400, costs(2.0), costs(cheat[1] if i else 0), costs(loss), half) for i, loss in enumerate(cheat)]
    orders = [Order(name, costs(1.0), costs(0.0), None, 100, True) for name in (WITH_TEACHER, ALONE, REVERSED, SEVERAL)]
    verdict = Verdict("yes", ["Yes: planning supervision is probably lost at token 1."], [])
    return Audit("data.jsonl", Facts(4000), verdict, 400, places, decision, None, orders)


def test_a_line_a_reader_and_the_decision_shaded() -> None:
    fig = audits.draw_audit(audit(), ["start", "first", "second", "goal"])
    (ax,) = fig.axes
    lines = {line.get_color(): line for line in ax.lines if len(line.get_xdata()) == 4}
    assert list(lines[MEANING["teacher_forcing"]].get_ydata()) == pytest.approx([0.0, 0.7, 0.02, 0.0])
    assert len(lines) == 3
    assert len(ax.patches) == 1
    assert [label.get_text() for label in ax.get_xticklabels()] == ["start", "first", "second", "goal"]
    (ax,) = audits.draw_audit(audit(None, costs(0.3))).axes
    assert not ax.patches
    assert ax.get_legend_handles_labels()[1] == ["no prompt", "prompt alone", "half the teacher", "with the teacher"]
    plt.close("all")


def test_panels_for_several_audits_and_sizes() -> None:
    fig = audits.draw_audits({"stars": audit(), "copies": audit(None), "sums": audit(), "trees": audit()})
    assert [ax.get_title("left") for ax in fig.axes if ax.axison] == [
        f"{name}:\nyes" for name in ("stars", "copies", "sums", "trees")
    ]
    fig = audits.draw_sizes({"stars": {1000: audit(), 10_000: audit()}, "sums": {1000: audit()}})
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == ["1\nyes", "10\nyes"]
    plt.close("all")


def test_a_picture_in_a_file_or_a_refusal(tmp_path: Path) -> None:
    audits.write_audit(tmp_path / "audit.png", audit())
    assert (tmp_path / "audit.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(LookaheadError, match="a figure is a png, svg or pdf file"):
        audits.write_audit(tmp_path / "audit.txt", audit())
    assert [path.name for path in tmp_path.iterdir()] == ["audit.png"]
    assert not plt.get_fignums()
