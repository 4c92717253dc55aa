"""Does a cure last, and does a cheat? Cured networks go on with a teacher, cheating ones with a cure.

Predictions, written down before any of these runs: a cured network stays cured, for the loss of teacher forcing is
small where every step is right, and nothing pulls it away; and a network that cheats is cured in as many training steps
as a fresh one, not sooner, since what it lacks is the look at the goal and not the arms. Reward: its exact gradient is
that of teacher forcing, weighted, and all but the first step are right already, so it leaves chance when training on
the first step alone does: neither within 4,000 training steps. Sampled rewards, written down when the exact gradient
was training and before any result: in expectation they are the same, and noise helps nobody, so at chance, too.

After the first network of each kind in `lasting`, where that of next latent state had come down to 0.91: whether it
goes on falling, "lasting-longer" tells. Written down before: it does not fall to chance in 8,000 training steps.

Value-guided answers, written down before any run: no reward reaches the network, a judge of its answers leads it. At
its last tokens but one a judge needs a single look-up to tell, at those before more, so that it has a ladder of its
own. So it learns, and the guided first step leaves chance within 4,000 training steps.

A tenth of the learning rate was added for the rewards in groups when at the full one answers had got worse, from 0.5
right to 0.1 after 1,350 training steps. Written down before: at the lower rate they stay at 0.5.
"""

from __future__ import annotations

from typing import Any

from lookahead.experiments.catalogue.several_tokens import FIELDS, heads
from lookahead.experiments.catalogue.shared import path_star
from lookahead.experiments.experiment import Experiment

TASK: dict[str, Any] = {"task": path_star(2, 4)}
CHEAT: dict[str, Any] = {**FIELDS, **TASK, "objective": "teacher_forcing"}
"""A network that has been taught with a teacher for 4,000 training steps."""
CURES: tuple[Any, ...] = (
    "future_summary",
    "token_order",
    heads(4),
    {"name": "next_latent", "horizon": 2},
    "belief_state",
)
"""One of each kind, as in the tournament."""

GROUPS: dict[str, Any] = {"name": "policy_gradient", "samples": 16, "advantage": "normalised"}
"""As GRPO."""

EXPERIMENTS = (
    Experiment(
        name="lasting",
        question="What does plain teacher forcing do to a network that was cured?",
        cells=[{"objective": "teacher_forcing", "start_from": {**FIELDS, **TASK, "objective": cure}} for cure in CURES],
        fields={**FIELDS, **TASK, "steps": 2000, "stop_at": None},
        seeds={"census": 5},
    ),
    Experiment(
        name="lasting-longer",
        question="And does it wear off in the long run?",
        cells=[
            {"objective": "teacher_forcing", "start_from": {**FIELDS, **TASK, "objective": cure}}
            for cure in ({"name": "next_latent", "horizon": 2}, "future_summary")
        ],
        fields={**FIELDS, **TASK, "steps": 8000, "evaluate_every": 100, "stop_at": None},
        seeds={"census": 5},
    ),
    Experiment(
        name="undoing",
        question="Is a network that cheats cured as soon as a fresh one?",
        cells=[{"objective": cure, "start_from": CHEAT} for cure in CURES],
        fields={**FIELDS, **TASK},
        seeds={"census": 5},
    ),
    Experiment(
        name="rewarded",
        question="Does reward undo the cheat?",
        cells=[
            *(
                {"objective": method, "start_from": CHEAT}
                for method in (
                    "expected_reward",
                    {"name": "hints", "taught": "decision"},
                    {"name": "policy_gradient"},
                    {"name": "policy_gradient", "greedy": True, "advantage": "centred"},
                )
            ),
            {"objective": "value_guided", "start_from": CHEAT},
            {"objective": GROUPS, "start_from": CHEAT, "batch_size": 128 // GROUPS["samples"]},
            {"objective": GROUPS, "start_from": CHEAT, "batch_size": 128 // GROUPS["samples"], "learning_rate": 1e-4},
        ],
        fields={**FIELDS, **TASK},
        seeds={"census": 5},
    ),
)
