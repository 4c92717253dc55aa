"""Path-star as text: what a tokenizer makes of it, where the decision is, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers

import checkpoints
import lookahead
from lookahead.contracts import SPLITS
from lookahead.errors import LookaheadError
from lookahead.runs.run import Run
from lookahead.tasks import PathStar, WrittenStar

each_labels = pytest.mark.parametrize("labels", ["words", "numerals"])
SIZE = (2, 4, 20)


def made(labels: Any = "words", size: tuple[int, int, int] = SIZE, **options: Any) -> WrittenStar:
    return WrittenStar(*size, **{"tokenizer": checkpoints.tokenizer(), "labels_are": labels, **options})


@each_labels
@pytest.mark.parametrize("split", SPLITS)
def test_the_tokens_are_those_of_the_written_graph(labels: str, split: Any) -> None:
    """The same graphs as `PathStar` draws, written by hand, and cut by the tokenizer as a whole."""
    task, star = made(labels, seed=3), PathStar(*SIZE, seed=3)
    cutter = transformers.AutoTokenizer.from_pretrained(checkpoints.tokenizer())
    indices = torch.arange(40)
    prompts, answers = task.sample(split, indices)
    words = {number: task.text(task.written_answers(torch.full((1, 4), number)))[0].split()[0] for number in range(20)}
    if labels == "numerals":
        assert words == {number: str(number) for number in range(20)}
    assert len(set(words.values())) == 20
    end = cutter.eos_token_id
    for row, line in enumerate(star.text(torch.cat(star.sample(split, indices), dim=1))):
        written = line.replace(",", " ").replace("|", "| ").replace("=", "= ").replace("/", "/ ")
        written = " " + " ".join(
            "".join(words[int(part.strip("|/="))] + "".join(sign for sign in part if sign in "|/="))
            for part in written.split()
        )
        tokens = cutter.encode(written)
        found = [token for token in [*prompts[row].tolist(), *answers[row].tolist()] if token != end]
        assert found == tokens
        assert task.text(torch.cat([prompts, answers], dim=1))[row] == written
    assert not (prompts[:, -1] != task.last_prompt_token).any()
    assert (prompts == end).any() == (answers == end).any() == (labels == "numerals")


def test_one_token_a_label_is_path_star_itself() -> None:
    task, star = made("words"), PathStar(*SIZE)
    assert task.one_length
    assert (task.prompt_length, task.answer_length) == (star.prompt_length, star.answer_length)
    assert task.decision == 1
    prompts, answers = task.sample("test", torch.arange(20))
    assert task.decisions(prompts, answers).tolist() == [1] * 20
    asked, paths = task.as_star(prompts, answers)
    assert torch.equal(asked, star.sample("test", torch.arange(20))[0])
    assert torch.equal(task.decoys(prompts, answers), task.written_answers(star.decoys(asked, paths)))


def test_the_decision_among_numerals_is_the_token_that_tells_the_arms_apart() -> None:
    """13 to 19 are a 1 with a digit behind: two labels of them differ in their second token."""
    task = made("numerals")
    assert not task.one_length
    prompts, answers = task.sample("train", torch.arange(400))
    asked, paths = task.as_star(prompts, answers)
    wrong = task.star.decoys(asked, paths)
    wanted = []
    for path, other in zip(paths.tolist(), wrong.tolist(), strict=True):
        first = 1 if path[0] < 13 else 2
        both_long = path[1] >= 13 and other[1] >= 13
        one_is_one = 1 in (path[1], other[1]) and max(path[1], other[1]) >= 13
        wanted.append(first + (both_long or one_is_one))
    assert task.decisions(prompts, answers).tolist() == wanted
    assert {*wanted} == {1, 2, 3}
    assert task.decision == 3


@each_labels
def test_what_is_no_example_is_refused(labels: str) -> None:
    task = made(labels)
    prompts, answers = task.sample("test", torch.arange(4))
    task.check_examples(prompts, answers)
    for tokens in (prompts, answers):
        for place in range(tokens.shape[1]):
            before = tokens[2, place].item()
            tokens[2, place] = 5  # a sign that stands in no graph
            with pytest.raises(LookaheadError, match=r"row 2 is no example"):
                task.check_examples(prompts, answers)
            tokens[2, place] = before
    with pytest.raises(LookaheadError, match="no example"):
        task.check_examples(prompts, answers.flip(0))


def test_reserved_tokens_are_shown_and_others_refused() -> None:
    task = made()
    tokens = torch.cat([task.sample("test", torch.arange(1))[1], torch.tensor([[task.vocab_size]])], dim=1)
    assert task.text(tokens)[0].endswith("$")
    with pytest.raises(LookaheadError, match="ids from"):
        task.text(tokens + 100)


def test_a_run_knows_the_tokens_and_refuses_others() -> None:
    task = made()
    run = Run(task=task)
    assert Run(task={"name": "written_star", **run.task, "checksum": ""}).id == run.id  # type: ignore[dict-item]
    assert run.config["task"]["checksum"] == task.checksum
    assert Run(task=made("numerals")).id != run.id
    with pytest.raises(LookaheadError, match=f"is not what it was: .* {task.checksum}, and 123 is asked for"):
        replace(task, checksum="123")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer": checkpoints.tokenizer(5)}, "has 7 words of one token, .* and num_nodes is 20: take fewer nodes"),
        ({"tokenizer": checkpoints.tokenizer(60, False), "labels": "numerals"}, "where they stand together: ' 0 1 2 "),
        ({"tokenizer": "/no/such/folder"}, r"there is no folder '/no/such/folder': it should hold tokenizer\.json"),
        ({"labels": "letters"}, "labels_are must be one of words, numerals"),
        ({"size": (1, 4, 20)}, "degree must be at least 2"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        made(**options)


def test_a_hub_that_cannot_be_reached_says_how_to_name_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LookaheadError, match=r"the tokenizer 'some/one', .* did not come from the hub .* local folder"):
        made(tokenizer="some/one")


@pytest.mark.parametrize(("kind", "labels"), [("gpt2", "words"), ("gpt_neox", "numerals")])
def test_a_pretrained_model_is_taught_the_text_of_its_own_tokenizer(
    kind: str, labels: Any, store: Path, tiny_run: Callable[..., Run]
) -> None:
    task = made(labels, (2, 3, 15))
    model = {"name": "pretrained", "source": checkpoints.stored(kind, task.vocab_size)}
    run = tiny_run(task=task, model=model, steps=20, evaluate_every=10, learning_rate=1e-2, objective=
                   {"name": "multi_token", "tokens": 2})  # fmt: skip
    result = lookahead.run(run)
    losses = [row["training_loss"] for row in result.curve[1:]]
    assert losses[1] < 0.9 * losses[0]
    assert result.measures["decision_accuracy"] <= 1
