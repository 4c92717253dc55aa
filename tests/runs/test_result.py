"""The store: what is in it is whole, found again, replaced when stale, refused when wrong."""

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import lookahead
from lookahead.contracts import Objective
from lookahead.errors import LookaheadError
from lookahead.evaluation import proportion, trials
from lookahead.experiments import find_experiment
from lookahead.objectives import TeacherForcing
from lookahead.runs import examples, harness, staleness
from lookahead.runs import result as results
from lookahead.runs.parquet import JSON_COLUMNS, pack, packed_path, read_packed
from lookahead.runs.result import (
    Result,
    read_result,
    read_result_of,
    run_folder,
    store_folder,
    trained,
    write_result,
)
from lookahead.runs.run import Run
from lookahead.training.checkpoints import load, save
from made_up import made_up

MakeRun = Callable[..., Run]


def as_text(result: Result) -> str:
    """NaN is equal to NaN as text."""
    return json.dumps(result.to_dict(), sort_keys=True)


# -- one run -------------------------------------------------------------------------------------------------


def test_a_result_is_whole_and_found_again(tiny_run: MakeRun, store: Path, trainings: list[str]) -> None:
    run = tiny_run()
    first = harness.run(run, device="cpu")
    assert first.current
    assert first.manifest["steps"] == 6
    assert first.manifest["torch"] == torch.__version__
    assert first.measures["examples"] == examples.TEST_EXAMPLES
    assert [row["step"] for row in first.curve] == [0, 3, 6]
    assert sorted(path.name for path in (store / "runs" / run.id).iterdir() if path.name != ".lock") == [
        "result.json",
        "weights.safetensors",
    ]
    again = lookahead.run(**run.config, device="cpu")
    assert as_text(again) == as_text(first)
    assert as_text(read_result(run)) == as_text(first)  # type: ignore[arg-type]
    assert trainings == [run.id]
    harness.run(run, device="cpu", again=True)
    assert trainings == [run.id, run.id]


def test_the_weights_answer_as_measured(tiny_run: MakeRun, store: Path) -> None:
    run = tiny_run(objective="reversed")
    result = harness.run(run, device="cpu")
    task, objective = lookahead.trained(run)
    found = lookahead.evaluate(objective, task, "test", examples.TEST_EXAMPLES)
    assert json.dumps(found) == json.dumps(result.measures)


def test_a_probe_adds_to_the_curve_and_changes_nothing_else(tiny_run: MakeRun, store: Path) -> None:
    run = tiny_run()

    def probe(objective: Objective, task: Any) -> dict[str, Any]:
        return {"norm": float(sum(p.detach().norm() for p in objective.parameters()))}

    plain = harness.run(run, device="cpu")
    probed = harness.run(run, device="cpu", probe=probe, again=True)
    assert all(row.pop("norm") > 0 for row in probed.curve)
    assert json.dumps(probed.curve) == json.dumps(plain.curve)
    assert json.dumps(probed.measures) == json.dumps(plain.measures)


def test_success_is_judged_by_what_the_run_says(tiny_run: MakeRun) -> None:
    run = tiny_run()
    result = made_up(run)
    assert result.success
    assert result.step_of_success == 10
    assert result.series("autoregressive_accuracy") == ([0, 10], [0.5, 0.96])
    assert result.series("loss", 0) == ([0, 10], [1.0, 1.0])
    other = made_up(tiny_run(judged_by="decision_accuracy"), curve=[{"step": 0, "decision_accuracy": 0.5}])
    assert other.step_of_success is None
    assert not made_up(run, measures={"autoregressive_accuracy": 0.9499}).success


def test_a_run_and_its_fields_cannot_both_be_given(tiny_run: MakeRun, store: Path) -> None:
    with pytest.raises(TypeError, match="a run and also its fields were given: steps"):
        harness.run(tiny_run(), steps=5)


@pytest.mark.parametrize("given", ["direction", {"task": "G(2,4)"}, 5])
def test_what_is_no_run_is_refused(given: Any) -> None:
    for use in (harness.run, trained, lambda one: harness.run_all([one])):
        with pytest.raises(LookaheadError, match=r"a run is a Run\(...\), or its fields by keyword"):
            use(given)


def test_what_is_no_function_is_refused_before_the_training(tiny_run: MakeRun, trainings: list[str]) -> None:
    for name in ("probe", "follow"):
        with pytest.raises(LookaheadError, match=f"{name} must be a function, not 5"):
            harness.run(tiny_run(), **{name: 5})
    assert trainings == []


def test_a_measure_that_the_curve_has_not_is_refused(tiny_run: MakeRun, store: Path) -> None:
    result = harness.run(tiny_run())
    with pytest.raises(LookaheadError, match=r"the curve has no 'accuracy'; it has step, .*autoregressive_accuracy"):
        result.first_step("accuracy", 0.5)


def test_a_folder_in_place_of_the_weights_is_named_before_the_training(
    tiny_run: MakeRun, store: Path, trainings: list[str]
) -> None:
    (run_folder(tiny_run().id) / "weights.safetensors").mkdir(parents=True)
    with pytest.raises(LookaheadError, match=r"weights.safetensors: what stands there is no regular file; remove it"):
        harness.run(tiny_run())
    assert trainings == []


@pytest.mark.parametrize(
    ("device", "message"), [("tpu9", "unknown device 'tpu9'"), ("cuda", "no GPU for device 'cuda'")]
)
def test_a_device_that_is_not_there_is_refused(
    device: str, message: str, tiny_run: MakeRun, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LookaheadError, match=message):
        harness.run(tiny_run(), device=device)


def test_a_result_with_the_keys_of_earlier_code_is_read(tiny_run: MakeRun, store: Path) -> None:
    data = made_up(tiny_run()).to_dict()
    assert "arrays" not in data
    assert as_text(Result.from_dict({**data, "arrays": {}})) == json.dumps(data, sort_keys=True)
    with pytest.raises(LookaheadError, match="not a result"):
        Result.from_dict({**data, "more": {}})


# -- refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["{", "", '{"run": {', "\x00\x00", "[]", "{}", "5", '{"id": 1, "run": {}}'])
def test_a_corrupt_result_is_refused_and_left(content: str, tiny_run: MakeRun, store: Path) -> None:
    run = tiny_run()
    path = run_folder(run.id) / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(
        LookaheadError, match=r"result\.json(: not a result|: .* is no run| is corrupt .*: remove it to run again)"
    ):
        harness.run(run, device="cpu")
    assert path.read_text() == content


def test_the_result_of_another_run_is_refused(tiny_run: MakeRun, store: Path) -> None:
    run, other = tiny_run(), tiny_run(seed=1)
    path = run_folder(run.id) / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(made_up(other).to_dict()))
    with pytest.raises(LookaheadError, match=f"is the result of run {other.id}, not of {run.id}"):
        read_result(run)
    data = {**made_up(other).to_dict(), "id": run.id}
    path.write_text(json.dumps(data))
    with pytest.raises(LookaheadError, match=f"says it is run {run.id}, but its configuration is that of {other.id}"):
        read_result(run)


def written(result: Result) -> Path:
    """The file of a result that nobody trained."""
    write_result(result, result.run.build()[1])
    return run_folder(result.run.id) / "result.json"


def test_a_flipped_bit_in_a_result_is_refused_wherever_it_is(tiny_run: MakeRun, store: Path) -> None:
    """It may become another number that looks as good: 0.5 becomes 0.1."""
    result = made_up(tiny_run())
    path = written(result)
    whole, expected = path.read_bytes(), as_text(result)
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 7]) + whole[place + 1 :])
        try:
            found = read_result(result.run)
        except LookaheadError:
            continue
        assert found is not None
        assert as_text(found) == expected
    path.write_bytes(whole.replace(b'"autoregressive_accuracy": 0.97', b'"autoregressive_accuracy": 0.17'))
    with pytest.raises(LookaheadError, match=r"result\.json is corrupt: .* does not match: remove it to run again"):
        read_result(result.run)


def test_a_result_without_a_checksum_was_written_by_earlier_code(tiny_run: MakeRun, store: Path) -> None:
    """It is read, NaN too: nothing tells whether it is damaged, and hours of training may lie behind it."""
    result = made_up(tiny_run())
    path = written(result)
    path.write_text(json.dumps(result.to_dict()))
    assert "NaN" in path.read_text()
    assert as_text(read_result(result.run)) == as_text(result)  # type: ignore[arg-type]


def strict(text: str) -> Any:
    """What strict JSON says."""

    def refused(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refused)


def test_what_is_stored_is_strict_json_and_comes_back(tiny_run: MakeRun, store: Path) -> None:
    """NaN is null there, and NaN again when it is read; what was None stays None."""
    result = made_up(tiny_run())
    assert strict(written(result).read_text())["measures"]["cheat_accuracy"] is None
    assert as_text(read_result(result.run)) == as_text(result)  # type: ignore[arg-type]
    frame = pd.read_parquet(pack("some", [result]))
    for column in JSON_COLUMNS:
        strict(frame[column][0])
    (found,) = read_packed("some")
    assert as_text(found) == as_text(result)
    assert found.curve[0]["training_loss"] is None


# -- weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_weights_that_were_lost_are_made_again(
    damage: Callable[[Path], Any], tiny_run: MakeRun, store: Path, trainings: list[str]
) -> None:
    run = tiny_run()
    harness.run(run, device="cpu")
    damage(run_folder(run.id) / "weights.safetensors")
    assert read_result(run) is not None, "the result stands"
    with pytest.raises(LookaheadError, match=r"do that run first; lookahead\.run makes lost weights anew"):
        trained(run)
    harness.run(run, device="cpu")
    assert trainings == [run.id, run.id]
    trained(run)


@pytest.fixture
def child(tiny_run: MakeRun, store: Path) -> Run:
    """A run that starts from another; both are done."""
    parent = tiny_run(seed=1)
    harness.run(parent, device="cpu")
    child = tiny_run(seed=2, steps=2, start_from=parent.id)
    assert harness.run(child, device="cpu").current
    return child


def make_again(run_id: str) -> None:
    """Other weights, as from a GPU that adds in no fixed order."""
    path = run_folder(run_id) / "weights.safetensors"
    tensors, record = load(path)
    save(path, {name: tensor + 1e-3 for name, tensor in tensors.items()}, record)


def test_other_weights_to_start_from_make_a_result_stale(child: Run, trainings: list[str]) -> None:
    assert child.start_from is not None
    pack("some", [read_result(child)])  # type: ignore[list-item]
    make_again(child.start_from)
    assert not read_result(child).current  # type: ignore[union-attr]
    assert [result.current for result in read_packed("some")] == [False]
    assert harness.run(child, device="cpu").current
    assert trainings == [child.id]
    (run_folder(child.start_from) / "weights.safetensors").unlink()
    assert read_result(child).current, "nothing tells otherwise"  # type: ignore[union-attr]


def test_a_checkpoint_that_began_with_other_weights_is_not_gone_on_from(
    child: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert child.start_from is not None
    with monkeypatch.context() as patched:
        patched.setattr(harness, "write_result", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            harness.run(child, device="cpu", checkpoint_every=1, again=True)
    make_again(child.start_from)
    with pytest.warns(UserWarning, match=f"began with other weights of run {child.start_from}.* starts anew"):
        assert harness.run(child, device="cpu").current


def test_a_stale_run_is_not_started_from(child: Run) -> None:
    assert child.start_from is not None
    parent = read_result_of(child.start_from)
    assert parent is not None
    written(dataclasses.replace(parent, stamp="other", replay=[0.0] * 6))
    assert not read_result(child).current  # type: ignore[union-attr]
    with pytest.raises(LookaheadError, match=f"run {parent.run.id}, whose weights .* is stale: do it again first"):
        harness.run(child, device="cpu")


def test_what_a_replay_has_told_holds_for_its_threads(
    tiny_run: MakeRun, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With others the last digits differ, and so may what is stale: it is asked again."""
    result, asked = made_up(tiny_run()), []
    monkeypatch.setattr(staleness, "is_current", lambda *_: asked.append(1) or torch.get_num_threads() == 1)
    for threads, current in ((7, False), (7, False), (1, True), (1, True)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert result.current == current
    assert len(asked) == 2


# -- where they lie ------------------------------------------------------------------------------------------


def test_the_store_is_where_the_variable_says_else_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOOKAHEAD_RESULTS", raising=False)
    checkout = Path(__file__).resolve().parents[2] / "results"
    assert store_folder() == checkout
    monkeypatch.setenv("LOOKAHEAD_RESULTS", "")
    assert store_folder() == checkout
    monkeypatch.setenv("LOOKAHEAD_RESULTS", "~/elsewhere")
    assert store_folder() == Path.home() / "elsewhere"
    assert packed_path("one") == Path.home() / "elsewhere" / "one.parquet"
    for relative in ("relative", "./relative", "~nobody-of-that-name/relative"):
        monkeypatch.setenv("LOOKAHEAD_RESULTS", relative)
        with pytest.raises(LookaheadError, match=f"is another folder from everywhere: make it {tmp_path}/"):
            store_folder()
    monkeypatch.delenv("LOOKAHEAD_RESULTS")
    monkeypatch.setattr(results, "checkout", lambda: None)
    assert store_folder() == Path.home() / ".local" / "share" / "lookahead"


def test_a_store_that_cannot_be_made_is_refused(
    tiny_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("old")
    monkeypatch.setenv("LOOKAHEAD_RESULTS", str(tmp_path / "file"))
    with pytest.raises(LookaheadError, match=r"could not be made .*LOOKAHEAD_RESULTS names another place"):
        harness.run(tiny_run(), device="cpu")
    with pytest.raises(LookaheadError, match="could not be made"):
        pack("one", [])
    assert (tmp_path / "file").read_text() == "old"


# -- packed --------------------------------------------------------------------------------------------------


def test_packed_results_come_back(tiny_run: MakeRun, store: Path) -> None:
    packed = [made_up(tiny_run(seed=seed, objective={"name": "hints", "start": bool(seed)})) for seed in range(3)]
    path = pack("some", packed)
    assert path == store / "some.parquet"
    back = {result.run.id: as_text(result) for result in read_packed("some")}
    assert back == {result.run.id: as_text(result) for result in packed}


def test_packing_merges_and_replaces(tiny_run: MakeRun, store: Path) -> None:
    runs = [tiny_run(seed=seed) for seed in range(3)]
    pack("some", [made_up(runs[0]), made_up(runs[1])])
    pack("some", [made_up(runs[1], stamp="new"), made_up(runs[2])])
    assert {result.run.seed: result.stamp for result in read_packed("some")} == {0: "0", 1: "new", 2: "0"}
    before = packed_path("some").read_bytes()
    pack("some", [])
    assert packed_path("some").read_bytes() == before, "the same rows are not the same file"


def test_a_pack_is_read_by_pandas_in_one_line(tiny_run: MakeRun, store: Path) -> None:
    packed = [
        made_up(tiny_run(seed=1, weight_decay=0)),
        made_up(tiny_run(objective={"name": "hints", "later": False}, stop_at=0.98), curve=[]),
    ]
    frame = pd.read_parquet(pack("some", packed)).sort_values("seed")
    assert frame["objective"].tolist() == ["hints", "teacher_forcing"]
    assert frame["objective.later"].tolist() == [False, None]
    assert frame["task.num_nodes"].tolist() == [10, 10]
    assert frame["model.width"].tolist() == [16, 16]
    assert frame["seed"].tolist() == [0, 1]
    assert frame["steps"].tolist() == [6, 6]
    assert frame["learning_rate"].tolist() == [0.002, 0.002], "a default is a number, too"
    assert frame["weight_decay"].tolist() == [0.01, 0]
    assert frame["autoregressive_accuracy"].tolist() == [0.97, 0.97]
    assert frame["cheat_accuracy"].isna().all()
    assert frame["id"].tolist() == [result.run.id for result in reversed(packed)]
    assert frame["step_of_success"].tolist()[1] == 10
    assert json.loads(frame["curve"].iloc[1])[1]["step"] == 10


def test_options_of_different_kinds_can_be_packed(
    tiny_run: MakeRun, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objective, "known", dict(Objective.known))

    class Loose(TeacherForcing, name="loose"):
        """Takes an option of any kind."""

        def __init__(self, model: Any, task: Any, *, strength: Any = "all") -> None:
            super().__init__(model, task)

    packed = [made_up(tiny_run(objective={"name": "loose", "strength": s}, seed=i)) for i, s in enumerate(("all", 2))]
    pack("some", packed)
    assert sorted(map(as_text, read_packed("some"))) == sorted(map(as_text, packed))


def test_a_damaged_or_missing_pack_is_refused(tiny_run: MakeRun, store: Path) -> None:
    with pytest.raises(LookaheadError, match=r"no stored results of 'some': .* is missing"):
        read_packed("some")
    path = pack("some", [made_up(tiny_run(seed=seed)) for seed in range(2)])
    whole = path.read_bytes()
    damaged = [whole[: len(whole) // 2], b"", b"PAR1", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(LookaheadError, match=r"some\.parquet is corrupt or holds no results"):
            read_packed("some")
        assert path.read_bytes() == content
    pd.DataFrame({"x": [1]}).to_parquet(path)
    with pytest.raises(LookaheadError, match="holds no results"):
        read_packed("some")


# -- what is committed ---------------------------------------------------------------------------------------


def test_committed_results_are_those_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every packed file can be read, its ids are those of today's configuration, and it is its experiment's."""

    monkeypatch.delenv("LOOKAHEAD_RESULTS", raising=False)
    listed = subprocess.run(
        ["git", "ls-files", "*.parquet"], cwd=store_folder(), capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split():
        experiment_name, _, profile = name.removesuffix(".parquet").rpartition("-")
        grid = {run.id for run in find_experiment(experiment_name).runs(profile)}
        stored = read_packed(name.removesuffix(".parquet"))
        assert {result.run.id for result in stored} <= grid, f"{name} holds runs that the catalogue no longer asks for"
        stale = [result.run.id for result in stored if result.run.seed == 0 and not result.current]
        assert stale == [], f"{name} is not what today's code gives"


def test_every_share_has_its_interval(tiny_run: MakeRun) -> None:
    measures = {
        "autoregressive_accuracy": 0.5,
        "teacher_forced_token_accuracy": [1.0, 0.5],
        "loss": [0.1, 0.2],
        "examples": 10,
    }
    result = dataclasses.replace(made_up(tiny_run()), measures=measures)
    assert result.trials == trials(10, result.run.build_task().test_size) < 10
    assert result.interval("autoregressive_accuracy") == proportion(0.5, result.trials)
    assert result.interval("teacher_forced_token_accuracy", 0) == proportion(1.0, result.trials)
    for name, position in (
        ("loss", 0),
        ("examples", None),
        ("accuracy", None),
        ("teacher_forced_token_accuracy", None),
    ):
        with pytest.raises(LookaheadError, match="is no share; measured: autoregressive_accuracy"):
            result.interval(name, position)
