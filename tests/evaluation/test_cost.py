"""What a training costs, beside what is counted by hand."""

from typing import Any

from lookahead.evaluation import cost
from lookahead.runs.run import Run

TASK = {"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}
WIDTH, VOCABULARY, PROMPT, ANSWER = 32, 17, 21, 4


def counted(objective: Any, implementation: str = "plain") -> Any:
    model = {"name": "transformer", "layers": 1, "width": WIDTH, "heads": 2, "implementation": implementation}
    return cost(*reversed(Run(task=TASK, model=model, objective=objective).build()))  # type: ignore[arg-type]


def test_operations_of_one_block_are_those_of_its_matrices() -> None:
    """Keys and values at every position, all else at the answer's; backward costs twice as much as forward."""
    read, told, square = PROMPT + ANSWER - 1, ANSWER, WIDTH * WIDTH
    keys_values, rest = 2 * square * read, (1 + 1 + 8) * square * told
    attention, logits = 2 * told * read * WIDTH, told * WIDTH * VOCABULARY
    assert counted("teacher_forcing").flops == 3 * 2 * (keys_values + rest + attention + logits)


def test_fused_attention_is_counted() -> None:
    assert counted("teacher_forcing", "sdpa").flops == counted("teacher_forcing").flops


def test_extra_heads_cost_and_answering_does_not() -> None:
    plain, several = counted("teacher_forcing"), counted({"name": "multi_token", "tokens": 3, "depth": "linear"})
    assert plain.parameters == plain.answering == several.answering
    assert several.parameters == plain.parameters + 2 * (WIDTH * WIDTH + WIDTH)
    head = WIDTH * WIDTH * ANSWER + ANSWER * WIDTH * VOCABULARY
    assert several.flops == plain.flops + 2 * 3 * 2 * head
