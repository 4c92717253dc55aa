"""Results: written whole with what made them, found again by their run."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lookahead.contracts import Model, Objective, Task
from lookahead.errors import Corrupt, LookaheadError, NoRoom
from lookahead.evaluation.statistics import Z95, Interval, TimeToSuccess, proportion, time_to_success, trials
from lookahead.files import locked, make_folder, read_cache, regular, write_text
from lookahead.machine import arithmetic, checkout
from lookahead.runs import staleness
from lookahead.runs.run import Run, checked
from lookahead.runs.sealed import SEAL, check_seal, sealed, with_nan
from lookahead.training.checkpoints import load, load_state, metadata, save, state_tensors

STORE = "LOOKAHEAD_RESULTS"
"""Environment variable: where the results lie."""

SUCCESS = 0.95
"""A run succeeds if the measure that judges it is at least this on test data."""

CHANCE_Z = 4.0
"""A run is *at chance* if the task's chance lies inside the interval of its share on test data at so many standard
errors, and has *left chance* if the interval lies above it. Below the interval it is neither."""

COMPARED_TO_CHANCE = ("autoregressive_accuracy", "teacher_forced_accuracy", "decision_accuracy")
"""The measures whose chance is the task's."""

OLD_KEYS = {"arrays"}
"""Keys of results stored by earlier code that nothing reads any more."""


@dataclass(frozen=True)
class Result:
    """What one run measured."""

    run: Run
    curve: list[dict[str, Any]]
    """A row an evaluation, on validation data: `step`, `training_loss` and the measures of `evaluate`."""
    measures: dict[str, Any]
    """The measures at the end, on test data that stopped nothing."""
    manifest: dict[str, Any]
    """Where, when and with which versions; `steps` done, `seconds`."""
    stamp: str
    replay: staleness.Replay | list[float]
    """What a replay is compared with; what earlier code stored has losses alone, until it is packed again."""

    @property
    def success(self) -> bool:
        """Whether the measure that judges the run reached `SUCCESS` on test data."""
        return self.measures[self.run.judged_by] >= SUCCESS

    @property
    def step_of_success(self) -> int | None:
        """The first evaluation on validation data that reached `SUCCESS`; None if none did."""
        return self.first_step(self.run.judged_by, SUCCESS)

    def first_step(self, name: str, level: float, position: int | None = None) -> int | None:
        """The first evaluation on validation data at which a measure is at `level` or above; None if at none."""
        steps, values = self.series(name, position)
        return next((step for step, value in zip(steps, values, strict=True) if value >= level), None)

    def at_chance(self, name: str | None = None) -> bool:
        """Whether a measure, by default the one that judges the run, is at chance (see `CHANCE_Z`)."""
        reach, chance = self._chance(name)
        return chance in reach

    def left_chance(self, name: str | None = None) -> bool:
        """Whether a measure, by default the one that judges the run, is better than chance (see `CHANCE_Z`)."""
        reach, chance = self._chance(name)
        return reach.low > chance

    def _chance(self, name: str | None) -> tuple[Interval, float]:
        """The wide interval of a final measure, and chance."""
        name = name or self.run.judged_by
        if name not in COMPARED_TO_CHANCE:
            raise LookaheadError(f"{name!r} has no chance of its own; take {', '.join(COMPARED_TO_CHANCE)}")
        return self.interval(name, z=CHANCE_Z), self.run.build_task().chance_accuracy

    @property
    def current(self) -> bool:
        """Whether today's code would give it (see `lookahead.runs.staleness`). What a replay has told is remembered."""
        today = staleness.stamp(self.run)
        if not self._start_stands():
            return False
        if self.stamp == today:
            return True
        told = json.dumps([self.run.id, self.stamp, self.replay, today, arithmetic(torch.device("cpu"))])
        key = hashlib.sha256(told.encode()).hexdigest()[:24]
        return verdict(key, lambda: staleness.is_current(self.run, self.stamp, self.replay))

    @property
    def trials(self) -> float:
        """How many independent trials the test examples are worth."""
        return trials(self.measures["examples"], self.run.build_task().test_size)

    def _start_stands(self) -> bool:
        """Whether the run that it starts from is what it was, as far as that lies here: its weights, and its code."""
        if self.run.start_from is None:
            return True
        if weights_checksum(self.run.start_from) not in (None, self.manifest.get("started_from")):
            return False
        with contextlib.suppress(LookaheadError):
            start = read_result_of(self.run.start_from)
            return start is None or start.current
        return True

    def interval(self, name: str, position: int | None = None, z: float = Z95) -> Interval:
        """A share among the final measures with its interval, at one position where it has several.

        The interval is about all that the network might be asked, of which the test split is a draw (see `trials`).

        Args:
            z: normal quantile; the default gives 95%.

        Raises:
            LookaheadError: no such measure, or not a share.
        """
        value = self.measures.get(name)
        value = value if position is None or value is None else value[position]
        if name in ("loss", "examples") or not isinstance(value, int | float):
            raise LookaheadError(f"{name!r} at position {position} is no share; measured: {', '.join(self.measures)}")
        return proportion(value, self.trials, z)

    def series(self, name: str, position: int | None = None) -> tuple[list[int], list[float]]:
        """Steps and values of one measure of the curve, at one answer position where it has several.

        Raises:
            LookaheadError: no such measure.
        """
        if self.curve and name not in self.curve[0]:
            raise LookaheadError(f"the curve has no {name!r}; it has {', '.join(self.curve[0])}")
        values = [row[name] if position is None else row[name][position] for row in self.curve]
        return [row["step"] for row in self.curve], values

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        data = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**data, "run": self.run.config, "id": self.run.id}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], origin: str = "result") -> Result:
        """From plain data.

        Raises:
            LookaheadError: a run that this library does not know. `Corrupt`: no result, or the configuration is not
                the one its id says.
        """
        names = [item.name for item in dataclasses.fields(cls)]
        if not isinstance(data, Mapping) or set(data) - OLD_KEYS - {SEAL} != {*names, "id"}:
            raise Corrupt(f"{origin}: not a result")
        check_seal(data, origin)
        run = _run_of(data["run"], origin)
        if run.id != data["id"]:
            raise Corrupt(f"{origin}: says it is run {data['id']}, but its configuration is that of {run.id}")
        _check_parts(data, run.judged_by, origin)
        numbers = {
            "measures": with_nan(data["measures"]),
            "curve": [
                {name: value if name == "training_loss" else with_nan(value) for name, value in row.items()}
                for row in data["curve"]
            ],
            "replay": with_nan(data["replay"]) if isinstance(data["replay"], list) else data["replay"],
        }
        return cls(**{name: data[name] for name in names if name != "run"} | numbers, run=run)


def _run_of(config: Any, origin: str) -> Run:
    """The run that a file says it is of."""
    try:
        return Run.of(config)
    except LookaheadError as error:
        raise LookaheadError(f"{origin}: {error}") from error
    except Exception as error:  # anything may stand in a file
        raise Corrupt(f"{origin}: {config!r} is no run ({type(error).__name__}: {error})") from error


MANIFEST = {"steps": int, "seconds": int | float, "finished": str, "device": str, "torch": str}
"""What every manifest holds, and is read."""


def _check_parts(data: Mapping[str, Any], judged_by: str, origin: str) -> None:
    """Refuses a result that lacks what its readers read."""
    manifest, measures, curve, number = data["manifest"], data["measures"], data["curve"], int | float
    if not isinstance(curve, list) or not isinstance(data["stamp"], str):
        raise Corrupt(f"{origin}: its curve is no list, or its stamp no text")
    wanted = [
        ("manifest", manifest, MANIFEST),
        ("measures", measures, {judged_by: number, "examples": int}),
        *(("curve", row, {"step": int, judged_by: number}) for row in curve),
    ]
    for part, found, kinds in wanted:
        for name, kind in kinds.items():
            if not isinstance(found, Mapping) or not isinstance(found.get(name), kind):
                raise Corrupt(f"{origin}: its {part} has no {name}, or what stands there is of another kind")
    last = curve[-1]["step"] if curve else 0
    if not 0 <= measures[judged_by] <= 1 or measures["examples"] < 1 or manifest["steps"] < last:
        raise Corrupt(f"{origin}: no run gives such numbers of steps and examples, or such an accuracy")


def steps_to_success(results: Sequence[Result]) -> TimeToSuccess:
    """When runs succeeded; those that never did are counted for as long as they were trained."""
    return time_to_success([r.step_of_success for r in results], [r.manifest["steps"] for r in results])


def store_folder() -> Path:
    """Where results lie: `LOOKAHEAD_RESULTS`, else `results/` in the checkout, else a folder of the user's own.

    It is never the working directory.

    Raises:
        LookaheadError: the variable names a folder that is not absolute: chapters run in a folder of their own.
    """
    if named := os.environ.get(STORE):
        path = Path(os.path.expanduser(named))
        if not path.is_absolute():
            raise LookaheadError(f"{STORE}={named} is another folder from everywhere: make it {path.absolute()}")
        return path
    root = checkout()
    return Path.home() / ".local" / "share" / "lookahead" if root is None else root / "results"


def committed_folder() -> Path | None:
    """The packed results that come with the library: they can be read wherever the store is. None where none came."""
    root = checkout()
    folder = Path(__file__).parents[1] / "results" if root is None else root / "results"
    return folder if folder.is_dir() else None


def store_folders() -> list[Path]:
    """The folders that packed results are looked for in, the store first."""
    return list(dict.fromkeys(folder for folder in (store_folder(), committed_folder()) if folder is not None))


def verdict(key: str, find: Callable[[], bool]) -> bool:
    """What was found before for this key; else what is found now, remembered for next time.

    It is remembered in the store, or in the user's own cache where the store cannot be written.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    paths = [store_folder() / "runs" / ".verdicts", Path(cache) / "lookahead" / "verdicts"]
    for path in paths:
        if told := re.search(rf"^{key} (True|False)$", read_cache(path), re.MULTILINE):
            return told[1] == "True"
    found = find()
    for path in paths:
        with contextlib.suppress(OSError, LookaheadError):
            make_folder(path.parent)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{key} {found}\n")
            break
    return found


def run_folder(run_id: str) -> Path:
    """Where the working files of one run lie: result, weights, checkpoints."""
    return store_folder() / "runs" / run_id


@contextlib.contextmanager
def locked_to_write(path: Path, timeout: float = -1) -> Iterator[None]:
    """Holds a lock of the store (see `lookahead.files.locked`), as whoever writes to it does.

    Raises:
        LookaheadError: the store cannot be written.
    """
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(locked(path, timeout))
        except NoRoom:
            raise
        except LookaheadError as error:
            raise LookaheadError(
                f"{error}: the environment variable {STORE} names another place for results"
            ) from error
        yield


def write_result(result: Result, objective: Objective) -> None:
    """Weights, then the result: where there is a result, it is whole."""
    folder = run_folder(result.run.id)
    save(_weights_path(result.run.id), state_tensors(objective), {"run": result.run.id})
    write_text(folder / "result.json", json.dumps(sealed(result.to_dict())))


def read_result(run: Run) -> Result | None:
    """The working result of a run, None where there is none.

    Raises:
        LookaheadError: the file is corrupt or another configuration's.
    """
    return read_result_of(run.id)


def read_result_of(run_id: str) -> Result | None:
    """As `read_result`, of a run of which the id alone is known."""
    path = run_folder(run_id) / "result.json"
    try:
        data = json.loads(regular(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LookaheadError(f"{path} cannot be read ({error.strerror}): remove it to run again") from error
    except (ValueError, RecursionError) as error:
        raise LookaheadError(f"{path} is corrupt ({error}): remove it to run again") from error
    try:
        result = Result.from_dict(data, str(path))
    except Corrupt as error:
        raise Corrupt(f"{error}: remove it to run again") from error
    if result.run.id != run_id:
        raise LookaheadError(f"{path} is the result of run {result.run.id}, not of {run_id}")
    return result


def trained(run: Run) -> tuple[Task, Objective]:
    """Task and objective with the weights at the end of a run that was done here.

    Raises:
        LookaheadError: no weights, or another run's.
    """
    task, objective = checked(run).build()
    load_state(objective, _weights(run.id))
    return task, objective


def load_weights(model: Model, run_id: str) -> str:
    """Gives a model the final weights of another run's model; the objectives may differ.

    Returns:
        their checksum, as `weights_checksum` tells it.

    Raises:
        LookaheadError: no weights, or of another shape.
    """
    prefix, checksum = "model.", weights_checksum(run_id)
    load_state(model, {k[len(prefix) :]: v for k, v in _weights(run_id).items() if k.startswith(prefix)})
    return checksum or ""


def weights_checksum(run_id: str) -> str | None:
    """What tells the final weights of a run from others, if they are here."""
    return metadata(_weights_path(run_id)).get("sha256")


def has_weights(run_id: str) -> bool:
    """Whether the final weights of a run are here, and whole."""
    try:
        _weights(run_id)
    except LookaheadError:
        return False
    return True


def refuse_odd_weights(run_id: str) -> None:
    """Raises a LookaheadError if something else than a file stands where a run's weights will go."""
    try:
        regular(_weights_path(run_id))
    except OSError as error:
        raise LookaheadError(f"{_weights_path(run_id)}: {error.strerror}; remove it") from error


def _weights_path(run_id: str) -> Path:
    return run_folder(run_id) / "weights.safetensors"


def _weights(run_id: str) -> dict[str, Tensor]:
    path = _weights_path(run_id)
    remedy = (
        f"do that run first; lookahead.run makes lost weights anew, and so does lookahead run --weights --only {run_id}"
    )
    if not path.exists():
        raise LookaheadError(f"no weights of run {run_id} in {store_folder()}: {remedy}")
    try:
        tensors, record = load(path)
    except LookaheadError as error:
        raise LookaheadError(f"{error}: {remedy}") from error
    if record["run"] != run_id:
        raise LookaheadError(f"{path} holds the weights of run {record['run']}, not of {run_id}: {remedy}")
    return tensors
