"""Pretraining in miniature: it begins where it says, and is measured kind by kind."""

import pytest
from torch import Tensor

from lookahead.contracts import Objective
from lookahead.errors import LookaheadError
from lookahead.experiments import PROFILES, find_experiment
from lookahead.experiments.catalogue import pretraining
from lookahead.tasks import PathStar
from lookahead.tasks.drills import KINDS, Drills


@pytest.mark.parametrize("profile", PROFILES)
def test_a_pretrained_network_begins_with_the_weights_of_its_drills(profile: str) -> None:
    """Of the same seed, and with the same tokens and lengths, so that the weights fit."""
    drilled = {run.id: run for run in find_experiment("drills").runs(profile)}
    later = [run for run in find_experiment("pretrained").runs(profile) if run.start_from]
    assert {run.start_from for run in later} == drilled.keys()
    for run in later:
        before = drilled[str(run.start_from)]
        assert before.seed == run.seed
        sizes = [
            (task.vocab_size, task.prompt_length, task.answer_length)
            for task in (before.build_task(), run.build_task())
        ]
        assert sizes[0] == sizes[1]


def test_each_kind_is_measured_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """On all examples of a kind and on no other."""
    task, objective = next(find_experiment("drills").runs("quick")).build()
    seen = []

    def measured(objective: Objective, task: Drills, prompts: Tensor, answers: Tensor) -> dict[str, float]:
        task.check_examples(prompts, answers)
        seen.append(len(prompts))
        return {"autoregressive_accuracy": task.kind_of(prompts).float().mean().item()}

    monkeypatch.setattr(pretraining, "evaluate_on", measured)
    assert pretraining.by_kind(objective, task) == {kind: number for number, kind in enumerate(KINDS)}
    assert sum(seen) == pretraining.PROBED
    with pytest.raises(LookaheadError, match=r"only drills are of several kinds, not G\(2,4\)"):
        pretraining.by_kind(objective, PathStar(2, 4, 10))
