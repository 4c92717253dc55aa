"""A language model from a folder, judged: masks that hide what they say, the losses of a plain forward pass."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import lookahead
from lookahead import cli
from lookahead.auditing import checkpoint
from lookahead.auditing.checkpoint import NOTHING, Checkpoint, layout, padded
from lookahead.auditing.readers import Held
from lookahead.errors import LookaheadError
from own_file import copies, sums, write

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

LETTERS = "0123456789+abcdef\n"
SMALL = {"vocab_size": len(LETTERS) + 1, "bos_token_id": 0, "eos_token_id": 0}
KINDS: dict[str, Any] = {
    "gpt2": lambda: transformers.GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=32, **SMALL),
    "llama": lambda: transformers.LlamaConfig(
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, hidden_size=16, intermediate_size=32,
        max_position_embeddings=32, **SMALL,
    ),
}  # fmt: skip


def model_folder(folder: Path, kind: str = "gpt2") -> Path:
    """A model with random weights and a tokenizer of letters, saved as transformers does; <s> begins a prompt."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(KINDS[kind]())
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    ids = {"<s>": 0, **{letter: number for number, letter in enumerate(LETTERS, 1)}}
    whole = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="<s>"))
    whole.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    whole.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    whole.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint(model_folder(tmp_path_factory.mktemp("model"), request.param), "cpu")


@pytest.fixture
def held(model: Checkpoint) -> Held:
    """Prompts and answers of different length."""
    some = [("12+345\n", "357"), ("7+8\n", "15"), ("999+1\n", "1000"), ("4+4\n", "8"), ("20+40\n", "60")]
    return Held(
        padded([model.cut(prompt, marks=True) for prompt, _ in some]),
        padded([model.cut(answer) for _, answer in some], at_end=True),
    )


def test_what_fills_up_changes_nothing(model: Checkpoint, held: Held) -> None:
    """Each example costs what it costs alone, in a plain forward pass without a mask."""
    costs = model.losses(held)
    assert torch.equal(costs.isnan(), held.answers == NOTHING)
    assert (held.prompts[:, -1] == model.cut("\n")[0]).all()
    for prompt, answer, cost in zip(held.prompts, held.answers, costs, strict=True):
        prompt, answer = prompt[prompt != NOTHING], answer[answer != NOTHING]
        assert prompt[0] == 0, "the tokenizer's mark begins the prompt"
        logits = model.model(torch.cat([prompt, answer])[None, :-1]).logits[0, len(prompt) - 1 :]
        plain = F.cross_entropy(logits, answer, reduction="none")
        assert torch.allclose(cost[: len(answer)], plain, atol=1e-4)
    said = model.predict(held.prompts, held.answers)
    assert said.shape == held.answers.shape


def test_a_prediction_depends_on_what_it_sees_alone(model: Checkpoint) -> None:
    """Change one answer token, and look which losses of the others change."""
    prompts = padded([model.cut("12+345\n", marks=True)])
    answers = padded([model.cut("35790")])
    changed = answers.clone()
    changed[0, 1] = model.cut("2")[0]
    for sees, dependent in {"all": [2, 3, 4], "last": [2], "prompt": []}.items():
        before, after = (model.losses(Held(prompts, one), sees) for one in (answers, changed))  # type: ignore[arg-type]
        moved = ((before - after).abs() > 1e-4)[0]
        moved[1] = False  # it is another token
        assert moved.nonzero()[:, 0].tolist() == dependent, sees
    first = [model.losses(Held(prompts, answers), sees)[0, 0] for sees in ("all", "last", "prompt")]  # type: ignore[arg-type]
    assert torch.allclose(torch.stack(first), first[0]), "before the first token there is nothing to hide"


def test_the_layout_as_drawn() -> None:
    tokens, mask, positions = layout(torch.tensor([[NOTHING, 5, 6]]), torch.tensor([[7, 8, 9]]), "last")
    assert tokens.tolist() == [[0, 5, 6, 7, 8]]
    assert positions.tolist() == [[0, 0, 1, 2, 3]]
    assert mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 1, 0, 1],
    ]
    alone, _, _ = layout(torch.tensor([[NOTHING, 5, 6]]), torch.tensor([[7, 8, 9]]), "prompt")
    assert alone.tolist() == [[0, 5, 6, 6, 6]]


def test_without_a_prompt_it_costs_what_the_others_tell() -> None:
    costs = checkpoint._by_count(torch.tensor([[3, 4], [3, NOTHING], [5, 4]]))
    assert costs[0, 0].item() == pytest.approx(-torch.tensor(1.5 / 3).log().item())
    assert costs[2, 0].item() == pytest.approx(-torch.tensor(0.5 / 3).log().item())
    assert costs[1].isnan().tolist() == [False, True]


class Sure:
    """Plays a checkpoint that chooses by a coin, and follows: answers of two arms, the first token open."""

    folder, longest = "sure", None

    def __init__(self, *_: Any) -> None:
        self.ids = {letter: number for number, letter in enumerate(LETTERS)}

    def cut(self, text: str, marks: bool = False) -> list[int]:
        return [self.ids[letter] for letter in text]

    def text(self, ids: list[int]) -> str:
        return "".join(LETTERS[number] for number in ids)

    def check_masking(self, held: Held) -> None: ...

    def losses(self, held: Held, sees: str) -> torch.Tensor:
        costs = torch.full(held.answers.shape, 0.01 if sees == "all" else 0.7)
        costs[:, 0] = 0.7
        return costs + torch.rand(costs.shape, generator=torch.Generator().manual_seed(0)) / 100

    def predict(self, prompts: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        return answers[:, :1].expand_as(answers)


def test_a_decision_is_found_but_no_order_can_be_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "Checkpoint", Sure)
    file = write(tmp_path / "arms.jsonl", [{"prompt": f"{n}", "answer": "abc"[n % 3] * 3} for n in range(200)])
    found = lookahead.audit_checkpoint("sure", file, examples=100)
    assert found.examples == 100
    assert found.decision == 0
    assert found.follows is not None
    assert found.follows.value == 1
    assert found.verdict.answer == "cannot tell"
    assert "no other order was tried" in found.verdict.reasons[0]
    assert found.places[1].last is not None
    assert lookahead.Audit.of(json.loads(found.to_json())) == found
    assert "prompt, last token" in found.svg()
    assert [one.token for one in found.shown] == [one.behind[0] for one in found.shown]
    assert f"{found.shown[0]}" in str(found)


def test_an_answer_of_several_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "Checkpoint", Sure)
    records = [{"prompt": f"{n}", "plan": "abc"[n % 3] * (1 + n % 2), "way": "abc"[n % 3]} for n in range(200)]
    file = write(tmp_path / "fields.jsonl", records)
    found = lookahead.audit_checkpoint("sure", file, answer_field=["plan", "way"])
    assert found.units.names == ["plan", "way"]
    assert found.decision == 0
    assert "the field 'plan' looks like a decision" in found.verdict.reasons[0]
    assert {one.behind[-2:] for one in found.shown} <= {"\na", "\nb", "\nc"}
    assert len(lookahead.audit_checkpoint("sure", file, answer_field="plan", parts=2).places) == 2


def test_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, file = str(model_folder(tmp_path / "model")), str(write(tmp_path / "copies.jsonl", copies(60)))
    call = ["audit", file, "--prompt-field", "question", "--model", folder]
    assert cli.main([*call, "--html", str(tmp_path / "report.html")]) == 3
    out = capsys.readouterr().out
    assert "was judged as it is, on 60 examples" in out
    assert "even with a teacher, little of these answers was learnt" in out
    assert "prompt, last token" in (tmp_path / "report.html").read_text()
    assert cli.main([*call, "--separator", "+", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["model"] == folder


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, few = model_folder(tmp_path / "model"), write(tmp_path / "few.jsonl", sums(20))
    long = write(tmp_path / "long.jsonl", [*sums(3), {"question": "1" * 40, "answer": "2"}, *sums(60)[3:]])
    call: dict[str, Any] = {"prompt_field": "question", "device": "cpu"}
    assert "20 examples are too few; it takes 50" in str(lookahead.audit_checkpoint(folder, few, **call))
    with pytest.raises(
        LookaheadError, match=r"long\.jsonl, line 4: prompt and answer have 43 tokens; the model reads 32"
    ):
        lookahead.audit_checkpoint(folder, long, **call)
    assert lookahead.audit_checkpoint(folder, long, **call, skip_bad=1).facts.skipped == 1
    with pytest.raises(LookaheadError, match=r"holds no model: a folder is wanted with a config\.json"):
        lookahead.audit_checkpoint(tmp_path, few, **call)
    assert cli.main(["audit", str(few), "--model", str(folder), "--steps", "5", "--half-hidden"]) == 1
    assert "leave out --steps, --half-hidden" in capsys.readouterr().err
    assert cli.main(["audit", str(few), "--separator", " "]) == 1
    assert "--separator is for --model alone" in capsys.readouterr().err
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(LookaheadError, match="cannot be read as a causal language model"):
        lookahead.audit_checkpoint(folder, few, **call)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(LookaheadError, match="needs the package transformers: pip install transformers"):
        lookahead.audit_checkpoint(folder, few, **call)


def test_a_model_that_sees_past_its_mask_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Checkpoint(model_folder(tmp_path / "model"), "cpu")
    held = Held(
        padded([model.cut(f"{n}\n") for n in range(4)]), padded([model.cut(f"{n * 1234:05}") for n in range(4)])
    )
    model.check_masking(held)
    masked = model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda attention_mask, **rest: masked(**rest))
    with pytest.raises(LookaheadError, match="cannot be masked: it has other ways to look back"):
        model.check_masking(held)
    monkeypatch.setattr(model.model, "forward", lambda input_ids: masked(input_ids))
    with pytest.raises(LookaheadError, match="takes no mask for its attention"):
        model.check_masking(held)
