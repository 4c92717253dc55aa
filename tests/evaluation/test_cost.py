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


READ, BLOCK = PROMPT + ANSWER - 1, 12 * WIDTH * WIDTH
"""Tokens that are read, and the numbers in the matrices of a block."""


def trained_block(read: int, told: int) -> int:
    """Operations of a block that reads so many tokens and is asked for so many states, forward and backward."""
    square = WIDTH * WIDTH
    return 3 * 2 * (2 * square * read + 10 * square * told + 2 * told * read * WIDTH)


def test_what_a_second_output_costs() -> None:
    plain, second = counted("teacher_forcing"), ANSWER * WIDTH * VOCABULARY
    for name in ("token_order", "future_summary", "ranking"):
        found = counted(name)
        assert found.answering == plain.parameters
        assert found.parameters == plain.parameters + WIDTH * VOCABULARY
        ranked = 2 * ANSWER * ANSWER * VOCABULARY if name == "ranking" else 0  # which of all tokens are to come
        assert found.flops == plain.flops + 3 * 2 * second + ranked


def test_what_joint_prediction_costs() -> None:
    """Matrices for every token of every state, attention among them, and the later tokens' logits."""
    plain, joint = counted("teacher_forcing"), counted({"name": "joint_multi_token", "tokens": 3})
    heads, tokens = 4, 3
    fetch = 4 * WIDTH * WIDTH + 2 * WIDTH + 1 + heads * tokens * tokens
    assert joint.parameters == joint.answering == plain.parameters + fetch + WIDTH  # it answers through all of it
    each = tokens * 4 * WIDTH * WIDTH + 2 * tokens * tokens * WIDTH
    later = (tokens - 1) * WIDTH * VOCABULARY
    assert joint.flops == plain.flops + 3 * 2 * ANSWER * (each + later)


def test_what_guessing_the_next_state_costs() -> None:
    """States of the whole prompt, and guesses at all of them but the first ones. No gradient is made of the aims, nor
    of the output matrix."""
    plain, guessing = counted("teacher_forcing"), counted({"name": "next_latent", "horizon": 2})
    assert guessing.answering == plain.parameters
    assert guessing.parameters == plain.parameters + 4 * WIDTH * WIDTH + 2 * WIDTH
    whole = trained_block(READ, READ) - trained_block(READ, ANSWER)
    guesses = 3 * 2 * 4 * WIDTH * WIDTH * (READ - 1 + READ - 2)
    logits = ANSWER * WIDTH * VOCABULARY
    assert guessing.flops == plain.flops + whole + guesses + 2 * logits + 2 * 2 * 2 * logits


def test_what_modules_cost() -> None:
    """Each a projection and a block over the whole sequence; the last one is asked for the answer's states alone."""
    plain, modules = counted("teacher_forcing"), counted({"name": "sequential_modules", "modules": 2})
    biases, norms = 9 * WIDTH, 2 * 2 * WIDTH  # of a block
    block = BLOCK + biases + norms + 2 * WIDTH + READ * WIDTH  # its final norm and its positions
    assert modules.answering == plain.parameters
    assert modules.parameters == plain.parameters + 2 * (2 * WIDTH * WIDTH + 2 * WIDTH + block)
    whole = trained_block(READ, READ) - trained_block(READ, ANSWER)
    projections = 3 * 2 * 2 * WIDTH * WIDTH * (READ - 1 + READ - 2)
    blocks = trained_block(READ - 1, READ - 1) + trained_block(READ - 2, ANSWER - 2)
    logits = 3 * 2 * (ANSWER - 1 + ANSWER - 2) * WIDTH * VOCABULARY
    assert modules.flops == plain.flops + whole + projections + blocks + logits


def test_what_a_belief_state_costs() -> None:
    """A second encoder of the answer's length, and the head for ten pairs, with two rows of logits each."""
    plain, belief = counted("teacher_forcing"), counted("belief_state")
    inner, pairs = 16 * WIDTH // 3, ANSWER * (ANSWER + 1) // 2
    head = 3 * 2 * WIDTH * inner
    assert belief.parameters == belief.answering == 2 * plain.parameters - WIDTH * VOCABULARY + head + 2 * WIDTH
    logits = 3 * 2 * (2 * pairs - ANSWER) * WIDTH * VOCABULARY
    assert belief.flops == plain.flops + trained_block(ANSWER, ANSWER) + 3 * 2 * pairs * head + logits


def test_what_hidden_tokens_cost() -> None:
    """One more token is read, the last of the answer; so there is one more position."""
    plain, masked = counted("teacher_forcing"), counted("masked")
    assert masked.parameters == masked.answering == plain.parameters + WIDTH
    assert masked.flops == plain.flops + trained_block(READ + 1, ANSWER) - trained_block(READ, ANSWER)


def test_what_any_order_costs() -> None:
    """Two codes for every place, which are added."""
    plain, other = counted("teacher_forcing"), counted("any_order")
    assert other.parameters == other.answering == plain.parameters + 2 * ANSWER * WIDTH
    assert other.flops == plain.flops


def test_what_registers_cost() -> None:
    """Tokens to read and to be asked, one for every answer token but one; an answer has none."""
    plain, registers = counted("teacher_forcing"), counted({"name": "register_tokens", "farthest": 3})
    assert registers.parameters == registers.answering == plain.parameters
    more = ANSWER - 1
    blocks = trained_block(READ + more, ANSWER + more) - trained_block(READ, ANSWER)
    assert registers.flops == plain.flops + blocks + 3 * 2 * more * WIDTH * VOCABULARY


def test_what_a_lookahead_costs() -> None:
    """A token and two marks in every sequence: those without are filled up."""
    plain, looking = counted("teacher_forcing"), counted("lookahead_tokens")
    assert looking.parameters == looking.answering == plain.parameters + 3 * WIDTH
    blocks = trained_block(READ + 3, ANSWER + 3) - trained_block(READ, ANSWER)
    assert looking.flops == plain.flops + blocks + 3 * 2 * 3 * WIDTH * VOCABULARY


def read_block(told: int, before: int = 0) -> int:
    """Operations of a block that reads so many tokens behind others, forward alone, and is asked for the last state."""
    square = WIDTH * WIDTH
    return 2 * (2 * square * told + 10 * square + 2 * (before + told) * WIDTH)


def test_what_a_teacher_that_errs_costs() -> None:
    """Nothing, unless the model says the tokens: it reads the prompt once more, and each of them but the last."""
    plain = counted("teacher_forcing")
    for how in ("mask", "replace", "sample"):
        found = counted({"name": "corrupted", "how": how})
        assert found.parameters == found.answering == plain.parameters
        said = read_block(PROMPT) + sum(read_block(1, PROMPT + i) for i in range(ANSWER - 2))
        said += (ANSWER - 1) * 2 * WIDTH * VOCABULARY
        assert found.flops == plain.flops + (said if how == "sample" else 0)


def test_what_latents_cost() -> None:
    """A sequence that is read anew for each of them, asked for its last state, and at last with all of them."""
    plain, looking = counted("teacher_forcing"), counted({"name": "latent_lookahead", "steps": 3})
    assert looking.parameters == looking.answering == plain.parameters + 3 * WIDTH  # their positions
    reads = sum(trained_block(PROMPT + 1 + i, 1) for i in range(3)) + trained_block(READ + 3, ANSWER + 3)
    logits = 3 * 2 * (ANSWER + 3) * WIDTH * VOCABULARY
    assert looking.flops == reads + logits


def test_what_latent_tokens_cost() -> None:
    """Slots behind every token, in one sequence: 4 for the next one, 3 and 2 for the two after it."""
    plain, latent = counted("teacher_forcing"), counted({"name": "latent_tokens", "tokens": 3})
    slots = ANSWER + ANSWER - 1 + ANSWER - 2
    assert latent.parameters == latent.answering == plain.parameters + WIDTH  # the position of the last slot
    assert latent.flops == trained_block(READ + slots, slots) + 3 * 2 * slots * WIDTH * VOCABULARY


def test_what_planning_tokens_cost() -> None:
    """Tokens to read, a block for the decoder, and one attention of queries that are the same for all examples."""
    plain, planning = counted("teacher_forcing"), counted({"name": "planning_tokens", "tokens": 3, "size": 8})
    plan, size, square, examples = 3, 8, WIDTH * WIDTH, 4
    assert planning.answering == plain.parameters + plan * WIDTH
    decoder = BLOCK + 9 * WIDTH + 2 * 2 * WIDTH + 2 * WIDTH + (READ + plan) * WIDTH
    foretell, encoder = WIDTH * size + size, plan * WIDTH + 4 * square + 2 * WIDTH + 2 * WIDTH * size
    assert planning.parameters == planning.answering + decoder + foretell + encoder
    model = trained_block(READ + plan, plan + 1 + ANSWER - 1) + 3 * 2 * ANSWER * WIDTH * VOCABULARY
    read = trained_block(ANSWER, ANSWER) // 3  # forward alone; no gradient goes back into it
    attention = (
        3 * 2 * (plan * square // examples + 2 * plan * ANSWER * WIDTH + plan * square) + 2 * 2 * 2 * ANSWER * square
    )
    vectors = 3 * 2 * 3 * plan * WIDTH * size  # foretold, made and read
    decoded = trained_block(plan + ANSWER - 1, ANSWER) + 3 * 2 * ANSWER * WIDTH * VOCABULARY
    assert planning.flops == model + read + attention + vectors + decoded
