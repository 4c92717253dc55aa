"""Pretrained models: the same numbers as in transformers, every objective, and what is said where one cannot be had."""

import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from torch import Tensor

import checkpoints
import lookahead
from lookahead.contracts import Model, Objective
from lookahead.errors import LookaheadError
from lookahead.evaluation.probes import residual_stream
from lookahead.models.pretrained import Pretrained
from lookahead.runs.run import Run, find_preset
from registered import OBJECTIVES, fits

KINDS = tuple(checkpoints.SIZES)
VOCAB, LONGEST = 24, 20
TASK = {"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}
each_kind = pytest.mark.parametrize("kind", KINDS)
FITTING = {spec["name"]: spec for spec in reversed(OBJECTIVES.values()) if fits("gpt2", spec)}
"""One of every objective."""


def loaded(kind: str, vocab_size: int = VOCAB, **options: Any) -> Pretrained:
    torch.manual_seed(0)
    return Pretrained(vocab_size, LONGEST, source=checkpoints.stored(kind), **options).double()


def theirs(kind: str) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(checkpoints.stored(kind)).double()


def tokens(length: int = LONGEST, rows: int = 3) -> Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(0))


# -- the same numbers ------------------------------------------------------------------------------------------


@each_kind
def test_logits_are_those_of_transformers(kind: str) -> None:
    model, twin = loaded(kind), theirs(kind)
    logits = model.unembed(model(tokens()))
    torch.testing.assert_close(logits, twin(tokens()).logits, atol=1e-12, rtol=1e-10)
    assert logits.std() > 0.5, "logits that are all alike could not differ"
    assert {p.dtype for p in Pretrained(VOCAB, LONGEST, source=checkpoints.stored(kind)).parameters()} == {
        torch.float32
    }


@each_kind
def test_generation_is_that_of_transformers(kind: str) -> None:
    model, twin = loaded(kind), theirs(kind)
    found, cache, unread = tokens(8), None, tokens(8)
    while found.shape[1] < LONGEST:
        hidden, cache = model.decode(unread, cache)
        unread = model.unembed(hidden[:, -1:]).argmax(dim=-1)
        found = torch.cat([found, unread], dim=1)
    twin.generation_config.eos_token_id = None
    wanted = twin.generate(
        tokens(8), attention_mask=torch.ones_like(tokens(8)), max_length=LONGEST, do_sample=False, pad_token_id=0
    )
    assert torch.equal(found, wanted)
    assert found[:, 8:].unique().numel() > 1


@each_kind
def test_other_attention_is_that_of_transformers_with_that_mask(kind: str) -> None:
    model, twin = loaded(kind), theirs(kind)
    some = torch.rand(3, LONGEST, LONGEST, generator=torch.Generator().manual_seed(1)) < 0.5
    some |= torch.eye(LONGEST, dtype=torch.bool)
    for attention, mask in (("full", torch.ones_like(some)), (some, some), (some[0], some[:1].expand(3, -1, -1))):
        logits = model.unembed(model(tokens(), attention=attention))
        torch.testing.assert_close(logits, twin(tokens(), attention_mask=mask[:, None]).logits, atol=1e-12, rtol=1e-10)


@each_kind
def test_other_positions_are_those_of_transformers(kind: str) -> None:
    """Rows of their own, out of order: transformers would take them for several texts, were there no mask."""
    model, twin = loaded(kind), theirs(kind)
    positions = torch.stack([torch.randperm(LONGEST, generator=torch.Generator().manual_seed(i)) for i in range(3)])
    mask = torch.ones(LONGEST, LONGEST, dtype=torch.bool).tril().expand(3, 1, -1, -1)
    logits = model.unembed(model(tokens(), positions))
    torch.testing.assert_close(
        logits, twin(tokens(), position_ids=positions, attention_mask=mask).logits, atol=1e-12, rtol=1e-10
    )
    assert not torch.allclose(logits, model.unembed(model(tokens())))


@each_kind
def test_attention_maps_are_those_of_transformers(kind: str) -> None:
    twin = theirs(kind)
    twin.set_attn_implementation("eager")
    wanted = torch.stack(twin(tokens(), output_attentions=True).attentions)
    model = loaded(kind)
    torch.testing.assert_close(model.attention_maps(tokens()), wanted, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(model.unembed(model(tokens())), twin(tokens()).logits, atol=1e-6, rtol=1e-5)


@each_kind
def test_fewer_ids_are_the_first_ones_and_more_are_drawn_like_the_others(kind: str) -> None:
    whole = loaded(kind)
    fewer, more = loaded(kind, 9), loaded(kind, 4000)
    short = tokens() % 9
    torch.testing.assert_close(fewer.unembed(fewer(short)), whole.unembed(whole(short))[:, :, :9])
    torch.testing.assert_close(more.unembed(more(tokens()))[:, :, :VOCAB], whole.unembed(whole(tokens())))
    for rows in (more.token_embedding.weight, more.output):
        old, new = rows[:VOCAB], rows[VOCAB:]
        torch.testing.assert_close(new.std(dim=0), old.std(dim=0), rtol=0.1, atol=0)
        assert ((new.mean(dim=0) - old.mean(dim=0)).abs() < 5 * old.std(dim=0) / 4000**0.5).all()
    assert torch.equal(loaded(kind, 30).output, loaded(kind, 30).output), "by the seed"


@each_kind
def test_nothing_is_dropped_out(kind: str) -> None:
    model = loaded(kind)
    assert model.training
    assert torch.equal(model(tokens()), model(tokens()))


@each_kind
def test_checkpointing_changes_no_gradient(kind: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = loaded(kind, checkpointing=checkpointing)
        model.unembed(model(tokens())).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) > 20
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)


@each_kind
def test_checkpointing_keeps_nothing_of_the_inside_of_a_block(kind: str) -> None:
    kept = []
    for checkpointing in (False, True):
        model, sizes = loaded(kind, checkpointing=checkpointing), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, s=sizes: s.append(x.numel()) or x, lambda x: x):
            model(tokens())
        kept.append(sum(sizes))
    assert kept[1] < 0.2 * kept[0]


@each_kind
def test_the_residual_stream_can_be_listened_to(kind: str) -> None:
    model = loaded(kind)
    stream = residual_stream(model, tokens(), last=4)
    assert stream.shape == (3, 3, 4, 16)
    torch.testing.assert_close(stream[-1], model(tokens(), last=4))


# -- with objectives -------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("method", FITTING.values(), ids=FITTING)
def test_every_objective_teaches_it_and_answers(kind: str, method: dict[str, Any]) -> None:
    """And most weights of the model, or of its judge, get a gradient; rewards give none where no answer is right."""
    task, objective = Run(
        task=TASK, model={"name": "pretrained", "source": checkpoints.stored(kind)}, objective=method
    ).build()
    prompts, answers = task.sample("train", torch.arange(6))
    noise, progress = objective.noise(("a test",), torch.arange(6)), torch.tensor(0.5)
    loss = objective(prompts, answers, noise=noise, progress=progress)
    loss.total.backward()
    assert loss.total.isfinite()
    taught = getattr(objective, "judge", objective.model)
    got = [name for name, p in taught.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(got) > 20 or (method["name"] == "policy_gradient" and loss.total == 0)
    given = objective.answer(objective.prefill(prompts))
    assert given.shape == answers.shape
    assert torch.equal(given, objective.answer(prompts))


def read_again(run: Run, result: Any) -> Objective:
    """What is stored of a run that has learnt something: it gives the loss that the result tells."""
    losses = [row["training_loss"] for row in result.curve[1:]]
    assert losses[1] < losses[0]
    assert result.current
    task, objective = run.build_task(), lookahead.trained(run)[1]
    assert lookahead.evaluate(objective, task, "test", 128)["loss"] == pytest.approx(result.measures["loss"], rel=1e-3)
    return objective


@pytest.mark.parametrize(("kind", "precision"), [("gpt2", "float32"), ("gpt_neox", "bfloat16")])
def test_a_run_is_trained_stored_and_read_again(
    kind: str, precision: str, store: Path, tiny_run: Callable[..., Run]
) -> None:
    model = {"name": "pretrained", "source": checkpoints.stored(kind), "checkpointing": True}
    run = tiny_run(task=TASK, model=model, precision=precision, steps=8, evaluate_every=4, learning_rate=1e-2)
    result = lookahead.run(run)
    read_again(run, result)


# -- low-rank changes --------------------------------------------------------------------------------------------


def lora(kind: str, rank: int = 4, **options: Any) -> dict[str, Any]:
    """A model with low-rank changes, by its fields in a run."""
    return {"name": "pretrained", "source": checkpoints.stored(kind), "lora": rank, **options}


@each_kind
def test_low_rank_changes_begin_at_nothing_and_alone_are_trained(kind: str) -> None:
    model, plain = loaded(kind, lora=4), loaded(kind)
    torch.testing.assert_close(model.unembed(model(tokens())), plain.unembed(plain(tokens())), atol=0, rtol=0)
    trained = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    products = [(16, 48), (16, 16), (16, 64), (64, 16)]  # of attention in and out, of the MLP in and out
    factors = [shape for inside, outside in products for shape in ((4, inside), (outside, 4))]
    assert sorted(trained.values()) == sorted(factors * 2)
    assert all("lora_A" in name or "lora_B" in name for name in trained)


@each_kind
def test_a_low_rank_change_is_twice_the_product_of_its_factors(kind: str) -> None:
    """Beside a model to whose weights that product was added."""
    model, plain = loaded(kind, lora=4), loaded(kind)
    factors = {name: p for name, p in model.named_parameters() if p.requires_grad}
    theirs = dict(plain.named_parameters())
    with torch.no_grad():
        for name, above in factors.items():
            if "lora_B" in name:
                above.normal_()
                change = 2 * above @ factors[name.replace("lora_B", "lora_A")]  # [out, in]; GPT-2 has [in, out]
                theirs[name.replace("lora_B.default.", "")].add_(change.T if kind == "gpt2" else change)
    logits = plain.unembed(plain(tokens()))
    torch.testing.assert_close(model.unembed(model(tokens())), logits, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(model.attention_maps(tokens()), plain.attention_maps(tokens()), atol=1e-10, rtol=1e-10)
    hidden, cache = model.decode(tokens()[:, :9])
    hidden, _ = model.decode(tokens()[:, 9:], cache)
    torch.testing.assert_close(model.unembed(hidden), logits[:, 9:], atol=1e-10, rtol=1e-10)


@each_kind
def test_checkpointing_changes_no_gradient_of_low_rank_changes(kind: str) -> None:
    """Nothing that the blocks read wants a gradient then."""
    gradients = []
    for checkpointing in (False, True):
        model = loaded(kind, lora=4, checkpointing=checkpointing)
        model.unembed(model(tokens())).square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert len(gradients[0]) == 16
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize(("kind", "method"), list(zip(cycle(KINDS), FITTING.values(), strict=False)), ids=FITTING)
def test_every_objective_teaches_low_rank_changes_and_what_it_adds(kind: str, method: dict[str, Any]) -> None:
    """What belongs to the model that was loaded stays; what an objective adds learns whole."""
    task, objective = Run(task=TASK, model=lora(kind), objective=method).build()
    judged = hasattr(objective, "judge")
    loaded_names = {f"model.{name}" for name, _ in objective.model.named_parameters() if "lora_" not in name}
    prompts, answers = task.sample("train", torch.arange(6))
    noise, progress = objective.noise(("a test",), torch.arange(6)), torch.tensor(0.5)
    loss = objective(prompts, answers, noise=noise, progress=progress)
    if loss.total != 0:  # rewards give nothing where no answer is right
        loss.total.backward()
        got = {name for name, p in objective.named_parameters() if p.grad is not None}
        assert judged or sum("lora_" in name for name in got) == 16
        assert not got & loaded_names
    assert objective.answer(prompts).shape == answers.shape


@pytest.mark.parametrize(
    ("kind", "precision", "optimizer", "objective"),
    [("gpt2", "float32", "muon", "teacher_forcing"), ("gpt_neox", "bfloat16", "adamw", FITTING["multi_token"])],
    ids=["gpt2", "gpt_neox"],
)
def test_a_run_with_low_rank_changes_is_trained_interrupted_stored_and_read_again(
    kind: str, precision: str, optimizer: str, objective: Any, store: Path, tiny_run: Callable[..., Run]
) -> None:
    run = tiny_run(
        task=TASK, model=lora(kind, checkpointing=True), precision=precision, optimizer=optimizer, objective=objective,
        steps=8, evaluate_every=4, learning_rate=1e-2,
    )  # fmt: skip
    _, before = run.build()

    def stops(run: Run, row: dict[str, Any]) -> None:
        if row["step"] == 4:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        lookahead.run(run, follow=stops)
    result = lookahead.run(run)
    after = read_again(run, result)
    then, now = dict(before.named_parameters()), dict(after.named_parameters())
    changed = {name for name in now if not torch.equal(now[name], then[name])}
    assert changed == {name for name, p in before.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in changed if name.startswith("model."))
    assert any(not name.startswith("model.") for name in changed) == (objective != "teacher_forcing")


# -- what cannot be --------------------------------------------------------------------------------------------


def test_presets_name_the_sizes_of_gpt2_and_pythia() -> None:
    pythia = [f"pythia-{size}" for size in ("70m", "160m", "410m", "1b", "1.4b")]
    assert list(Pretrained.presets) == ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", *pythia]
    assert find_preset(Model, "pythia-70m") == {"name": "pretrained", "source": "EleutherAI/pythia-70m"}
    assert Run(task=TASK, model="gpt2").model["revision"] == "main"  # type: ignore[index]


def test_a_hub_that_cannot_be_reached_says_how_to_name_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = "the model 'openai-community/gpt2', revision 'step3', did not come from the hub .* name a local folder"
    with pytest.raises(LookaheadError, match=message):
        Pretrained(10, 10, source="openai-community/gpt2", revision="step3")
    with pytest.raises(LookaheadError, match=r"config\.json and model\.safetensors"):
        Run(task=TASK, model="pythia-70m").build()


def test_a_folder_that_is_not_there_or_holds_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(LookaheadError, match="there is no folder"):
        Pretrained(10, 10, source=str(tmp_path / "nothing"))
    with pytest.raises(LookaheadError, match="holds no model that transformers can read"):
        Pretrained(10, 10, source=str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(LookaheadError, match="holds no model that transformers can read"):
        Pretrained(10, 10, source=str(tmp_path))


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    config = transformers.OPTConfig(
        vocab_size=8, hidden_size=8, ffn_dim=8, num_hidden_layers=1, num_attention_heads=1, word_embed_proj_dim=8
    )
    transformers.OPTForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(LookaheadError, match=r"of the kind 'opt': known are gpt2 and gpt_neox"):
        Pretrained(8, 8, source=str(tmp_path))


@each_kind
def test_longer_sequences_than_it_has_positions_for_are_refused(kind: str) -> None:
    with pytest.raises(LookaheadError, match="has positions for 64 tokens, and sequences are up to 65"):
        Pretrained(VOCAB, 65, source=checkpoints.stored(kind))
    model = loaded(kind)
    for read in (model, model.decode):
        with pytest.raises(LookaheadError, match="21 tokens, but the model was built for at most 20"):
            read(tokens(21))


def test_without_transformers_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(LookaheadError, match="needs the package transformers: pip install"):
        Pretrained(10, 10, source=checkpoints.stored("gpt2"))


def test_without_peft_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(LookaheadError, match="lora=4 needs the package peft: pip install peft, or take lora=0"):
        loaded("gpt2", lora=4)
