"""Other tasks that need lookahead: where does a teacher let a network cheat, and which cure helps where?

Four methods on each task: teacher forcing; reversed; four tokens at once (of sibling discovery all three); latent steps
back, which was the soonest of the tournament's cures on arms of four. On tasks whose answers differ in length (mixed
lengths, in-weights path-star) reversed and latent steps back are not defined, for they begin at the last token.

"either-end" was thought of when the first network on the undirected star had learnt it with a teacher (0.957 of the
paths right, at chance before training step 400, then up without a plateau), against the prediction below. Why it may be
so: to follow an arm there, a head has to look along an edge from either of its ends, and does so at every position; so
the goal's neighbour is looked up as well, though nobody asks for it. Written down before any run of "either-end":

- On arms of five a teacher is enough, too, and takes longer, for the look from the goal has to go one edge further.
- With one coin for all edges of a graph a teacher is enough on arms of four. No edge has to be read from either end
  there, but the network owns both looks, and has to find out for each graph which one follows. It takes longer than
  with a coin for each edge.
- (Added when the first network of the line above had learnt it, before the run.) With every edge of every graph
  written back to the start it is the failure again: one look follows, and nothing asks for the other one.
- (Added when nine networks on arms of four and one on arms of five had been trained, before any run.) On arms of three
  a teacher is enough in half of the networks or more: the first step is one look from the goal, of the kind that is
  learnt from the start, and nothing has to be found before it.
- (Added when two networks of the line above had learnt it, before the runs.) On arms of three with every edge written
  back to the start it is the failure again; with one coin for all edges of a graph it is learnt, later than with a coin
  for each.

Reversed addition and multiplication are teacher forcing with the least significant digit first, example by example.

Predictions, written down before any of these runs. The ladder of chapter 6 says: a choice is learnt if the state that
makes it is also asked for something that needs the same look at the end, one look-up away from the next such thing.
Teacher forcing asks for that by itself where steps after the first are choices, too.

- **Tree.** With a teacher learnt, within 2,000 training steps: every step asks for the goal, the last one for a copy of
  it, the one before for its parent. Reversed is the soonest.
- **Undirected star.** With a teacher at 1/2: one choice, then following, as on a star. All three cures help, later than
  on the directed star, for a look-up must find either end of an edge; reversed loses most of its lead.
- **Mixed lengths.** With a teacher at 1/2: the shortest arm has no rung below its choice either. Four tokens cure it.
- **In-weights path-star.** With a teacher learnt: there is no prompt to search, paths are stored, and a leaf comes to
  lie near its arm (Noroozizadeh et al., 2025). Four tokens are no sooner.
- **Siblings.** With a teacher the parent at once, the second child late: the parent is a look-up from either child, so
  it teaches nothing about the choice of the second. Reversed at once, for it names the parent first; three tokens
  sooner than the teacher, latent steps back between the two.
- **Addition.** With a teacher soon up to the cheat's level (0.87 for four digits), then beyond: a carry is nearly
  always seen one column away; a chain of nines takes a longer look, and there are few. Reversed is sooner, four tokens
  are sooner than the teacher: all digits of a chain need the same carry.
- **Multiplication.** With a teacher slowly, and beyond the cheat: every digit needs many columns, and no token makes
  those behind it trivial. Reversed is sooner; four tokens do not help.
- **Countdown.** With a teacher slowly beyond the cheat (0.54): the first step is a search, the rest is calculated from
  it. Four tokens help a little; reversed does not, the last step being a search as well.
- **Sudoku.** With a teacher beyond the cheat (0.43): nearly all cells are choices of one kind, and there is nothing to
  hide behind. Reversed is the same task in another order: no sooner, no later.
- **Mate in two.** With a teacher beyond the cheat (0.07), to a tenth or a third of the positions that were not seen,
  but never learnt: the second move is a choice of the same kind as the first, and asks for the king's flights, so the
  teacher leaves something to learn that helps; but there are few positions, and what is learnt of them does not carry
  far. Reversed is worse: it names the mate before the move that makes it possible. Four tokens at once help a little,
  for the reply asks the state of the first move for what that move leaves the king. Latent steps back help no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lookahead.experiments.catalogue.several_tokens import FIELDS, heads
from lookahead.experiments.experiment import Experiment


@dataclass(frozen=True)
class Relative:
    """A task beside path-star, at a size for one core."""

    task: Mapping[str, Any]
    answer_length: int
    one_length: bool = True
    """Whether all answers are of one length."""
    latents: Mapping[str, Any] = field(default_factory=dict)
    """Options of latent steps back: as many as there are tokens to come."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of its runs that are others."""

    def methods(self) -> list[Any]:
        """The methods that are defined on it."""
        tokens = heads(min(4, self.answer_length))
        if not self.one_length:
            return ["teacher_forcing", tokens]
        back = {"name": "latent_lookahead", "order": "backward", **self.latents}
        return ["teacher_forcing", "reversed", tokens, back]


def relative(name: str, answer_length: int, decision: int = 0, **more: Any) -> Relative:
    """A task by its name, the length of its answers and the place of the state before its choice; options follow."""
    fields = more.pop("fields", {})
    one_length = more.pop("one_length", True)
    latents = {"steps": answer_length - decision, "at": "decision" if decision else "prompt"}
    return Relative({"name": name, **more}, answer_length, one_length, latents, fields)


FAMILY = (
    relative("tree", 4, 1, degree=2, fork=2, path_length=4, num_nodes=20),
    relative("undirected_star", 4, 1, degree=2, path_length=4, num_nodes=10),
    relative("mixed_lengths", 5, 1, one_length=False, degree=2, shortest=3, longest=5, num_nodes=12),
    relative("in_weights", 4, 1, one_length=False, degree=100, path_length=4),
    relative("siblings", 3, 1, fields={"train_examples": 2000}, parents=10, children=21),
    relative("addition", 5, digits=4),
    relative("multiplication", 4, digits=2, second=2),
    relative("countdown", 8, numbers=3, largest=30),
    relative("sudoku", 8, blanks=8),
    relative("chess_mate", 9, mate_in=2),
)


def undirected(path_length: int, **options: Any) -> dict[str, Any]:
    """Two arms of that length whose edges are turned around by coins."""
    return {"name": "undirected_star", "degree": 2, "path_length": path_length, "num_nodes": 10, **options}


EXPERIMENTS = (
    Experiment(
        name="family",
        question="Which other tasks does a teacher let a network cheat on, and what cures it there?",
        cells=[{"task": one.task, "objective": method, **one.fields} for one in FAMILY for method in one.methods()],
        fields=FIELDS,
        seeds={"census": 5},
    ),
    Experiment(
        name="either-end",
        question="Is a teacher enough on longer arms as well, once edges are written from either end?",
        cells=[
            {"task": undirected(5), "objective": "teacher_forcing"},
            {"task": undirected(4, coin="graph"), "objective": "teacher_forcing"},
            {"task": undirected(4, coin="never"), "objective": "teacher_forcing"},
            {"task": undirected(5), "objective": "reversed"},
            {"task": undirected(3), "objective": "teacher_forcing"},
            {"task": undirected(3, coin="never"), "objective": "teacher_forcing"},
            {"task": undirected(3, coin="graph"), "objective": "teacher_forcing"},
        ],
        fields={**FIELDS, "steps": 8000},
        seeds={"census": 5},
    ),
)
