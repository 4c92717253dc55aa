"""What is stale: a stamp tells that the code changed, a replay whether it changes a number."""

import ast
import copy
import dataclasses
import hashlib
import importlib
import json
import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookahead.contracts import Objective
from lookahead.objectives import TeacherForcing
from lookahead.runs import harness, staleness
from lookahead.runs.parquet import pack, read_packed
from lookahead.runs.result import Result, read_result
from lookahead.runs.run import Run

MakeRun = Callable[..., Run]
Edit = Callable[[str, str, str], None]


@pytest.fixture
def fresh_code() -> Iterator[Callable[[], None]]:
    """Forgets what is kept of the code and its replays, now and at the end."""
    kept = [value for value in vars(staleness).values() if hasattr(value, "cache_clear")]

    def forget() -> None:
        for function in kept:
            function.cache_clear()

    assert len(kept) >= 4
    forget()
    yield forget
    forget()


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_code: Callable[[], None]) -> Iterator[Edit]:
    """Changes the source of a module, for the stamp, and what the module does, until the test ends."""
    sources: dict[str, Path] = {}
    before: dict[str, dict[str, Any]] = {}
    find = staleness._file
    monkeypatch.setattr(staleness, "_file", lambda module: sources.get(module) or find(module))

    def change(name: str, old: str, new: str) -> None:
        module = importlib.import_module(name)
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        assert text.count(old) == 1
        sources[name] = tmp_path / f"{name}.py"
        sources[name].write_text(text.replace(old, new), encoding="utf-8")
        before.setdefault(name, dict(vars(module)))
        exec(compile(sources[name].read_text(encoding="utf-8"), str(sources[name]), "exec"), vars(module))
        fresh_code()

    yield change
    for name, names in before.items():
        vars(sys.modules[name]).update(names)


def test_a_result_of_other_code_is_stale_and_made_again(
    tiny_run: MakeRun,
    store: Path,
    trainings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    fresh_code: Callable[[], None],
) -> None:
    """The stamp alone does not make it stale; a replay that differs does."""
    run = tiny_run()
    first = harness.run(run, device="cpu")
    monkeypatch.setattr(staleness, "stamp", lambda *_: "other code that does the same")
    fresh_code()
    assert first.current
    forward = TeacherForcing.forward

    def changed(self: Any, *given: Any, **more: Any) -> Any:
        loss = forward(self, *given, **more)
        loss.total = loss.total * 1.01
        return loss

    monkeypatch.setattr(TeacherForcing, "forward", changed)
    fresh_code()
    assert first.current, "what a replay has told of this code is remembered"
    monkeypatch.setattr(staleness, "stamp", lambda *_: "other code that does another thing")
    assert not first.current
    assert trainings == [run.id]
    second = harness.run(run, device="cpu")
    assert trainings == [run.id, run.id]
    assert second.current
    assert (found := read_result(run)) is not None
    assert found.manifest == second.manifest


SOURCE = '''"""Doc."""
import lookahead.errors
from lookahead.contracts import Loss

def double(x: int) -> int:
    """Doc."""
    # a comment
    return 2 * x
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# a comment", "# another, longer comment", True),
        ('    """Doc."""\n', '    """Other words."""\n', True),
        ('"""Doc."""\nimport', "import", True),
        ("2 * x", "(2 *\n            x)", True),
        ("2 * x", "x * 2", False),
        ("x: int", "x: float", False),
        ("contracts import Loss", "contracts import Loss, Model", False),
    ],
)
def test_a_stamp_counts_code_alone(
    old: str,
    new: str,
    same: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fresh_code: Callable[[], None],
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for text in (SOURCE, SOURCE.replace(old, new, 1)):
        (tmp_path / "stamped_module.py").write_text(text)
        fresh_code()
        found.append(staleness._syntax("stamped_module"))
    assert (found[0] == found[1]) == same


def test_a_stamp_is_the_same_in_all_versions_of_python() -> None:
    """The hash was recorded with Python 3.11, 3.12 and 3.13; `ast.dump` gives other texts in 3.12 and 3.13."""
    text = staleness._written(ast.parse(EVERY_KIND))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "3711080878d5592e"


EVERY_KIND = '''"""Doc."""
import os.path as p
from . import q

class A(B, metaclass=C):
    """Doc."""
    x: int = 1
    y = u"text", b"bytes", 1.5, 2j, None, ..., f"{x!r:>{p}} and {q}"

    @staticmethod
    async def f(a, /, b=None, *c, d, e=-1, **g) -> None:
        """Doc."""
        async for i in a:
            yield {**b, 1: [j for j in c if j]}
        return

def empty(): ...

match x := lambda: 0:
    case [1, *rest] | {"k": None} if rest:
        pass
try:
    del a[1:2, ...]
except* (E, F) as e:
    raise G from e
'''


def test_a_stamp_follows_imports(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_code: Callable[[], None]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stamped_module.py").write_text(SOURCE)
    followed = staleness._with_imports(frozenset({"stamped_module"}))
    assert followed == {
        "stamped_module",
        *(f"lookahead.{name}" for name in ("errors", "kinds", "random", "registry", "contracts")),
    }
    loop = staleness._with_imports(frozenset({"lookahead.training.loop", "lookahead.objectives.hints"}))
    assert loop >= {f"lookahead.training.{name}" for name in ("loop", "optimizers", "settings", "checkpoints")}
    assert loop >= {"lookahead.objectives.sequences", "lookahead.random", "lookahead.contracts"}
    assert not any(name.startswith(("lookahead.runs.result", "lookahead.chapter")) for name in loop)
    stamps = [staleness.stamp(tiny_run(objective=name)) for name in ("teacher_forcing", "teacherless", "reversed")]
    assert len(set(stamps)) == 3
    assert staleness.stamp(tiny_run(seed=1, steps=100)) == stamps[0]


NOTEBOOK = """
from lookahead.objectives import TeacherForcing
class Mine(TeacherForcing, name="mine"):
    def forward(self, *given, **more):
        loss = super().forward(*given, **more)
        loss.total = loss.total * FACTOR
        return loss
"""


def test_an_objective_of_a_notebook_is_stale_when_its_cell_changes(
    tiny_run: MakeRun, store: Path, trainings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's classes are in no file: `__main__` has no spec there."""
    main = types.ModuleType("__main__")
    assert main.__spec__ is None
    monkeypatch.setitem(sys.modules, "__main__", main)
    staleness._file.cache_clear()
    known = dict(Objective.known)

    def cell(factor: str, comment: str = "") -> None:
        exec(compile(NOTEBOOK.replace("FACTOR", factor) + comment, "<cell>", "exec"), vars(main))

    try:
        cell("2.0")
        run = tiny_run(objective="mine")
        harness.run(run, device="cpu")
        cell("2.0", comment="# the same again")
        harness.run(run, device="cpu")
        assert len(trainings) == 1
        cell("3.0")
        harness.run(run, device="cpu")
        assert len(trainings) == 2
        cell("3.0 * 1")  # other code that does the same
        harness.run(run, device="cpu")
        assert len(trainings) == 2
    finally:
        Objective.known.clear()
        Objective.known.update(known)
        staleness._file.cache_clear()


# -- a replay ------------------------------------------------------------------------------------------------


MEASURES, STACKING = "lookahead.evaluation.measures", "lookahead.training.stacked"

SAME = [
    (MEASURES, "def _judge(\n", "# a comment\ndef _judge(\n", True),
    (MEASURES, '"""How many examples suit the device that a module lies on."""', '"""Other words."""', True),
    (MEASURES, "predictions == answers,", "answers == predictions,", False),
    ("lookahead.runs.examples", '"""How many', '"""So many', True),
    ("lookahead.runs.examples", "= 512, 4096", "= 512, 2 * 2048", False),
    (STACKING, '"""The members\' losses [S]."""', "# the losses", True),
    (STACKING, "gradient.mul_(share.view(", "gradient.mul_(1 * share.view(", False),
]
"""Modules, what stands in them and what is to stand there, and whether the stamp is the same; no number changes."""

OTHER_MEASURES = [
    (
        MEASURES,
        '"autoregressive_accuracy": task.correct(prompts, answers, given)',
        '"autoregressive_accuracy": given[:, 0] == answers[:, 0]',
    ),
    (MEASURES, "task.correct(prompts, answers, given)", "task.correct(prompts, answers, predictions)"),
    (MEASURES, "task.correct(prompts, answers, predictions)", "task.correct(prompts, answers, given)"),
    (MEASURES, '"autoregressive_token_accuracy": given', '"autoregressive_token_accuracy": predictions'),
    (MEASURES, '"teacher_forced_token_accuracy": predictions', '"teacher_forced_token_accuracy": given'),
    (MEASURES, '"decision_accuracy": (predictions', '"decision_accuracy": (given'),
    (MEASURES, "torch.where(mask, followed, 1)).prod(dim=1)", "torch.where(mask, followed, 1)).amin(dim=1) / 2"),
    (MEASURES, '"cheat_token_accuracy": followed', '"cheat_token_accuracy": returned'),
    (MEASURES, '"return_token_accuracy": returned', '"return_token_accuracy": followed'),
    (MEASURES, '"return_token_accuracy": returned', '"return_tokens": returned'),
    (MEASURES, '"loss": losses', '"loss": losses * 1.01'),
    (MEASURES, "decoys[:, : tasks[0].decision + 1]", "decoys[:, : tasks[0].decision + 2]"),
]
OTHER_EXAMPLES = [
    ("lookahead.runs.examples", "= 512", "= 256"),
    ("lookahead.runs.examples", "4096", "2048"),
]
OTHER_STACKING = [
    (STACKING, "gradient.mul_(share.view(", "gradient.mul_(0 * share.view("),
    (STACKING, "return each(loss, ", "return 1.01 * each(loss, "),
    ("lookahead.stack", "**dict(module.named_parameters())", "**{k: v + 0.01 for k, v in module.named_parameters()}"),
]


@pytest.fixture
def both(tiny_run: MakeRun, store: Path) -> list[Result]:
    """A result that was trained alone, and one that was trained in a stack."""
    alone = harness.run(tiny_run(), device="cpu")
    stacked = harness.run_all([tiny_run(seed=seed) for seed in (1, 2, 3)], device="cpu")
    assert isinstance(stacked[0], Result)
    return [alone, stacked[0]]


def states(results: list[Result]) -> list[bool]:
    """Whether each is current."""
    return [result.current for result in results]


def test_a_record_is_plain_json(both: list[Result]) -> None:
    for result, stacked in zip(both, (False, True), strict=True):
        record = result.replay
        assert isinstance(record, dict)
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert record["stacked"] == stacked == ("stacked" in result.manifest)
        assert len(record["losses"]) == 6
        assert record["constants"] == {"VALIDATION_EXAMPLES": 512, "TEST_EXAMPLES": 128}
        assert record["measures"].keys() == record["known"].keys() == result.measures.keys()
        assert record["measures"]["examples"] == record["known"]["examples"] == 16
        assert result.stamp == staleness.stamp(result.run)


@pytest.mark.parametrize(("module", "old", "new", "same_stamp"), SAME)
def test_code_that_gives_the_same_leaves_results_current(
    module: str, old: str, new: str, same_stamp: bool, both: list[Result], edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(module, old, new)
    monkeypatch.setattr("lookahead.runs.examples.TEST_EXAMPLES", 128)
    assert [staleness.stamp(result.run) == result.stamp for result in both] == [same_stamp, same_stamp]
    assert states(both) == [True, True]


@pytest.mark.parametrize(("module", "old", "new"), [*OTHER_MEASURES, *OTHER_EXAMPLES])
def test_another_measure_or_number_of_examples_makes_results_stale(
    module: str, old: str, new: str, both: list[Result], edit: Edit
) -> None:
    edit(module, old, new)
    assert states(both) == [False, False]


@pytest.mark.parametrize(("module", "old", "new"), OTHER_STACKING)
def test_another_stacking_makes_stacked_results_stale(
    module: str, old: str, new: str, both: list[Result], edit: Edit
) -> None:
    edit(module, old, new)
    assert states(both) == [True, False]


def test_a_measure_that_is_new_leaves_results_current(both: list[Result], edit: Edit) -> None:
    edit(MEASURES, '"loss": losses}', '"loss": losses, "given": given == answers}')
    assert states(both) == [True, True]


def test_what_agrees_with_a_replay(tiny_run: MakeRun) -> None:
    """Last digits, and one example of sixteen."""
    run = tiny_run()
    now = staleness.replay([run])[0]
    assert now["measures"]["cheat_token_accuracy"][0] is not None

    def with_measure(name: str, value: Any) -> dict[str, Any]:
        return {**now, "measures": {**now["measures"], name: value}}

    share, loss = now["measures"]["decision_accuracy"], now["measures"]["loss"]
    for agrees in (
        now,
        {**now, "losses": [value * (1 + 5e-5) for value in now["losses"]]},
        with_measure("decision_accuracy", share + 1 / 16),
        with_measure("decision_accuracy", share - 1 / 16),
        with_measure("loss", [value * (1 + 5e-4) for value in loss]),
    ):
        assert staleness.is_current(run, "another", agrees)
    for differs in (
        {**now, "losses": [value * (1 + 5e-4) for value in now["losses"]]},
        {**now, "losses": [None] * 6},
        {**now, "losses": now["losses"][:3]},
        {**now, "constants": {**now["constants"], "VALIDATION_EXAMPLES": 513}},
        with_measure("decision_accuracy", share + 2 / 16),
        with_measure("decision_accuracy", None),
        with_measure("decision_accuracy", [share]),
        with_measure("loss", [value * (1 + 5e-3) for value in loss]),
        with_measure("loss", loss[1:]),
        with_measure("earlier_measure", 0.5),
    ):
        assert not staleness.is_current(run, "another", differs)


def test_measures_that_are_no_number_agree_with_themselves_alone(tiny_run: MakeRun) -> None:
    """Reversed training cannot be led onto a wrong arm."""
    run = tiny_run(objective="reversed")
    now = staleness.replay([run])[0]
    assert now["measures"]["cheat_accuracy"] is None
    assert staleness.is_current(run, "another", now)
    now = copy.deepcopy(now)
    now["measures"]["cheat_accuracy"] = 0.0
    assert not staleness.is_current(run, "another", now)


# -- what earlier code stored ----------------------------------------------------------------------------------


def test_losses_alone_are_compared_where_nothing_else_is_stored(tiny_run: MakeRun) -> None:
    run = tiny_run()
    now = staleness.replay([run])[0]["losses"]
    assert staleness.is_current(run, "another", now)
    assert staleness.is_current(run, "another", now[:3]), "results from before the steps at the full rate"
    assert staleness.is_current(run, "another", [value * (1 + 5e-5) for value in now])
    for other in ([*now, now[-1]], now[:2], now[:5], [], [math.nan] * 6, [value * (1 + 5e-4) for value in now]):
        assert not staleness.is_current(run, "another", other)
    assert staleness.is_current(run, staleness.stamp(run), [])


def as_stored_by_earlier_code(result: Result, losses: int) -> Result:
    """The same with the losses alone, and another stamp."""
    assert isinstance(result.replay, dict)
    return dataclasses.replace(result, stamp="earlier", replay=result.replay["losses"][:losses])


@pytest.mark.parametrize("losses", [3, 6])
def test_packing_makes_a_record_whole(losses: int, both: list[Result], edit: Edit) -> None:
    earlier = [as_stored_by_earlier_code(result, losses) for result in both]
    assert states(earlier) == [True, True]
    wrong = dataclasses.replace(earlier[0], run=dataclasses.replace(earlier[0].run, seed=9))
    pack("some", [*earlier, wrong])
    packed = {result.run.seed: result for result in read_packed("some")}
    assert packed.pop(9).replay == wrong.replay, "what is stale keeps what it has"
    for result, now in zip(both, packed.values(), strict=True):
        assert isinstance(result.replay, dict)
        assert isinstance(now.replay, dict)
        assert now.stamp == result.stamp
        assert now.replay["losses"] == pytest.approx(result.replay["losses"], rel=1e-5)
        assert {**now.replay, "losses": 0, "measures": 0} == {**result.replay, "losses": 0, "measures": 0}
    edit(*OTHER_MEASURES[0])
    assert states(earlier) == [True, True], "nothing tells what was measured"
    assert states(list(packed.values())) == [False, False]


def test_a_pack_of_earlier_code_is_read(both: list[Result]) -> None:
    """Its losses are numbers in a list, not JSON."""
    earlier = [as_stored_by_earlier_code(result, 6) for result in both]
    path = pack("some", both)
    table = pq.read_table(path).drop_columns(["sha256"])
    place = table.column_names.index("replay")
    pq.write_table(table.set_column(place, "replay", pa.array([result.replay for result in earlier])), path)
    assert [result.replay for result in read_packed("some")] == [result.replay for result in earlier]


def test_packing_again_keeps_a_record(both: list[Result], edit: Edit) -> None:
    """What is compared is what was found when it was trained."""
    edit(MEASURES, "predictions == answers,", "answers == predictions,")
    pack("some", both)
    assert [result.replay for result in read_packed("some")] == [result.replay for result in both]
    assert all(result.stamp != before.stamp for result, before in zip(read_packed("some")[:1], both, strict=False))
