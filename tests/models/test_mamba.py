"""Mamba and Mamba-2: the original's numbers, generation with constant memory, what is refused."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lookahead
from lookahead.errors import LookaheadError
from lookahead.models import Mamba, Mamba2
from lookahead.models.recurrent import Recurrent
from lookahead.runs.run import Run
from registered import OBJECTIVES, fits
from trainer import optimizers_of

VOCAB, LONGEST = 17, 12
CLOSE = {"atol": 1e-12, "rtol": 1e-10}
SIZES: dict[type[Recurrent], dict[str, Any]] = {
    Mamba: {"layers": 2, "width": 12, "state": 5},
    Mamba2: {"layers": 2, "width": 12, "state": 5, "head_width": 6, "groups": 2},
}
both = pytest.mark.parametrize("kind", SIZES)


def model_of(kind: type[Recurrent], seed: int = 0, **options: Any) -> Any:
    """In float64."""
    torch.manual_seed(seed)
    return kind(VOCAB, LONGEST, **{"kernels": "auto", **SIZES[kind], **options}).double()


def some_tokens(rows: int = 3, length: int = LONGEST, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


# -- true to the original ------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("length", [1, 3, 50])
def test_logits_are_those_of_transformers(kind: type[Recurrent], length: int) -> None:
    """With the same weights. Its code computes in float32 whatever it is given; 1e-5 is 100 times that rounding."""
    transformers = pytest.importorskip("transformers", reason="the independent implementation is not installed")
    ours = model_of(kind)
    common = {
        "vocab_size": VOCAB,
        "hidden_size": 12,
        "state_size": 5,
        "num_hidden_layers": 2,
        "tie_word_embeddings": True,
    }
    if kind is Mamba:
        theirs = transformers.MambaForCausalLM(transformers.MambaConfig(**common))
    else:
        config = transformers.Mamba2Config(**common, head_dim=6, num_heads=4, n_groups=2, chunk_size=16)
        theirs = transformers.Mamba2ForCausalLM(config)
    state = theirs.state_dict()
    known = {"token_embedding.weight": "backbone.embeddings.weight", "final_norm.weight": "backbone.norm_f.weight"}
    used = {"lm_head.weight"}
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            other = known.get(name) or name.replace("blocks", "backbone.layers").replace(
                "mixer.norm", "mixer.norm.weight"
            )
            state[other] += 0.1 * torch.randn_like(state[other])  # ones and zeros would hide a swap
            parameter.copy_(state[other])
            used.add(other)
    assert used == set(state)
    theirs.load_state_dict({**state, "lm_head.weight": state["backbone.embeddings.weight"]})
    tokens = some_tokens(length=length)
    logits = ours.unembed(ours(tokens))
    with torch.no_grad():
        expected = theirs.eval()(tokens).logits
    assert logits.std() > 0.1
    torch.testing.assert_close(logits, expected.double(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.float().unembed(ours(tokens)), expected, atol=1e-4, rtol=1e-4)


@both
def test_the_initialisation_is_the_original_one(kind: type[Recurrent]) -> None:
    """Decays, passes and step sizes; linear maps as torch's own, what writes to the residual stream smaller.

    A uniform variable's largest of n comes within 10 / n of its bound, but with chance exp(-10).
    """
    layers, width = 4, 48
    torch.manual_seed(0)
    sizes = {"layers": layers, "width": width, "state": 8} | ({"head_width": 2} if kind is Mamba2 else {})
    model = kind(VOCAB, LONGEST, **sizes)
    assert abs(model.token_embedding.weight.std().item() * math.sqrt(width) / 0.4 - 1) < 5 / math.sqrt(
        2 * VOCAB * width
    )
    for block in model.blocks:
        mixer: Any = block.mixer
        assert (mixer.D == 1).all()
        rates, bias = mixer.A_log.exp(), mixer.dt_proj.bias if kind is Mamba else mixer.dt_bias
        if kind is Mamba:
            torch.testing.assert_close(rates, torch.arange(1.0, 9).expand(2 * width, 8))
            bound = math.ceil(width / 16) ** -0.5
            assert bound * (1 - 10 / mixer.dt_proj.weight.numel()) < mixer.dt_proj.weight.abs().max() <= bound
        else:
            assert 1 <= rates.min() < 5 < 12 < rates.max() <= 16
        steps = torch.nn.functional.softplus(bias.detach())
        assert 1e-3 * 0.999 <= steps.min() < 2e-3
        assert 0.05 < steps.max() <= 0.1 * 1.001
        for linear, scale in ((mixer.in_proj, 1), (mixer.out_proj, math.sqrt(layers))):
            bound = 1 / math.sqrt(linear.in_features) / scale
            assert bound * (1 - 10 / linear.weight.numel()) < linear.weight.abs().max() <= bound


@pytest.mark.parametrize(
    ("kind", "preset", "blocks"),
    [
        (Mamba, "mamba-tiny", 118_528),
        (Mamba, "mamba-mini", 20_342_784),
        (Mamba2, "mamba2-tiny", 121_440),
        (Mamba2, "mamba2-mini", 20_641_344),
    ],
)
def test_presets(kind: type[Recurrent], preset: str, blocks: int) -> None:
    """About as many weights as the Transformer's: 149,952 and 21.3 million."""
    sizes = kind.presets[preset]
    with torch.device("meta"):
        model = kind(57, 70, **sizes)
    assert sum(p.numel() for p in model.parameters()) == blocks + 57 * sizes["width"] + sizes["width"]
    assert Run(task=TASK, model=preset).model["name"] == kind.name  # type: ignore[index]


# -- how it is computed, and from what ------------------------------------------------------------------------


@both
@pytest.mark.parametrize("way", ["reference", "torch"])
def test_every_way_to_compute_is_one_model(kind: type[Recurrent], way: str) -> None:
    """Forward, backward, the same initial weights."""
    found = []
    for kernels in ("auto", way):
        model = model_of(kind, kernels=kernels)
        logits = model.unembed(model(some_tokens()))
        logits.logsumexp(dim=-1).square().sum().backward()
        found.append((logits, [p.grad for p in model.parameters()]))
    torch.testing.assert_close(found[1], found[0], **CLOSE)


# -- generation ----------------------------------------------------------------------------------------------


@both
def test_the_cache_does_not_grow(kind: type[Recurrent]) -> None:
    """However much was read, and further than the longest sequence it was built for."""
    model = model_of(kind)
    sizes, cache = [], None
    for length in (1, 2, 40):
        _, cache = model.decode(some_tokens(length=length), cache)
        sizes.append([(m.state.shape, m.inputs.shape) for m in cache])
    assert sizes[0] == sizes[1] == sizes[2]
    assert len(sizes[0]) == 2


# -- in the harness ------------------------------------------------------------------------------------------

TASK = {"name": "path_star", "degree": 2, "path_length": 3, "num_nodes": 10}
CAUSAL = {name: spec for name, spec in OBJECTIVES.items() if fits("mamba", spec) and spec["name"] != "policy_gradient"}
"""A policy gradient teaches nothing where no answer is right, as at the start; its tests have a Mamba with some."""


@both
@pytest.mark.parametrize("objective", CAUSAL.values(), ids=CAUSAL)
def test_every_objective_teaches_it(kind: type[Recurrent], objective: Any) -> None:
    """The loss is descended, every parameter is reached, and it answers."""
    run = Run(task=TASK, model={"name": kind.name, **SIZES[kind]}, objective=objective, warmup=0, learning_rate=1e-2)
    task, taught = run.build()
    indices = torch.arange(8)
    (prompts, answers), noise = task.sample("train", indices), taught.noise(("a test",), indices)
    optimizers = optimizers_of(taught, run)
    losses = []
    for _ in range(5):
        loss = taught(prompts, answers, noise)
        loss.total.backward()
        assert all(p.grad is not None and p.grad.any() for p in taught.parameters() if p.requires_grad)
        optimizers.step()
        losses.append(loss.total.item())
    least = 0 if objective["name"] == "expected_reward" else 0.1  # a probability, which begins near 0
    assert losses[-1] < losses[0] - least
    assert taught.answer(prompts).shape == answers.shape


def test_the_manifest_says_what_computed(store: Path) -> None:
    fields = {"task": TASK, "steps": 1, "batch_size": 8, "evaluate_every": 1, "device": "cpu"}
    for kind, sizes in SIZES.items():
        assert lookahead.run(model={"name": kind.name, **sizes}, **fields).manifest["kernels"] == "torch"
    gpt = {"name": "transformer", "layers": 1, "width": 8, "heads": 2}
    assert "kernels" not in lookahead.run(model=gpt, **fields).manifest


def test_how_it_is_computed_is_no_part_of_a_run() -> None:
    assert Run(task=TASK, model="mamba-tiny").config["model"] == {"name": "mamba", "layers": 4, "width": 64, "state": 8}
    with pytest.raises(LookaheadError, match="unknown option of model 'mamba': kernels"):
        Run(task=TASK, model={"name": "mamba", "layers": 1, "width": 8, "kernels": "torch"})


def test_decays_are_no_matrices_for_the_optimiser() -> None:
    """A_log of Mamba has two dimensions; neither Muon nor weight decay may have it. All else is in one place."""
    run = Run(task=TASK, model={"name": "mamba", **SIZES[Mamba]}, optimizer="muon")
    _, taught = run.build()
    adamw, muon = optimizers_of(taught, run).parts
    decayed, free = ([id(p) for p in group["params"]] for group in adamw.param_groups)
    assert adamw.param_groups[1]["weight_decay"] == 0
    hidden = [id(p) for p in muon.param_groups[0]["params"]]
    for name, p in taught.named_parameters():
        last = name.split(".")[-2:]
        vector = p.ndim == 1 or last[-1] == "A_log"
        matrix = last[0] in ("in_proj", "x_proj", "dt_proj", "out_proj") and last[-1] == "weight"
        expected = free if vector else hidden if matrix else decayed
        assert [id(p) in group for group in (decayed, free, hidden)] == [
            group is expected for group in (decayed, free, hidden)
        ], name
    plain = optimizers_of(taught, Run(task=TASK, model={"name": "mamba", **SIZES[Mamba]})).parts[0]
    assert {id(p) for p in plain.param_groups[1]["params"]} == set(free)


# -- inputs --------------------------------------------------------------------------------------------------


@both
def test_positions_may_only_count(kind: type[Recurrent]) -> None:
    model, tokens = model_of(kind), some_tokens(length=4)
    for positions in (torch.arange(4), torch.arange(4).expand(3, 4)):
        torch.testing.assert_close(model(tokens, positions), model(tokens), atol=0, rtol=0)
    for positions in (torch.arange(4) + 1, torch.tensor([0, 2, 1, 3])):
        with pytest.raises(LookaheadError, match="has no positions but the order itself: leave them out"):
            model(tokens, positions)


@both
def test_input_and_output_embeddings_are_one(kind: type[Recurrent]) -> None:
    model = model_of(kind)
    hidden = model(some_tokens())
    by_hand = model.final_norm(hidden) @ model.token_embedding.weight.T
    torch.testing.assert_close(model.unembed(hidden), by_hand, **CLOSE)


@both
def test_a_fresh_trunk_is_another_one_of_its_kind(kind: type[Recurrent]) -> None:
    model = model_of(kind, kernels="torch")
    other = model.fresh(layers=3)
    assert (type(other), len(other.blocks), other.width, other.kernels) == (kind, 3, 12, "torch")
    assert (other.vocab_size, other.longest) == (VOCAB, LONGEST)
    assert other.blocks[0].mixer.A_log.shape == model.blocks[0].mixer.A_log.shape
    assert not torch.equal(other.token_embedding.weight.double(), model.token_embedding.weight)
    assert {id(p) for p in model.parameters()}.isdisjoint({id(p) for p in other.parameters()})


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        (Mamba, {"layers": 0}, "layers must be at least 1, not 0"),
        (Mamba, {"width": 0}, "width must be at least 1, not 0"),
        (Mamba, {"state": 0}, "state must be at least 1 and at most 256, not 0"),
        (Mamba, {"convolution": 1}, "convolution must be at least 2 and at most 4, not 1"),
        (Mamba, {"expand": 0}, "expand must be at least 1, not 0"),
        (Mamba, {"kernels": "cuda"}, "unknown kernels 'cuda'; known: auto, reference, torch, mamba_ssm"),
        (Mamba2, {"state": 257}, "state must be at least 1 and at most 256, not 257"),
        (Mamba2, {"convolution": 5}, "convolution must be at least 2 and at most 4, not 5"),
        (Mamba2, {"head_width": 2.5}, "head_width must be a whole number, not 2.5"),
        (Mamba2, {"groups": True}, "groups must be a whole number, not True"),
        (Mamba2, {"head_width": 7}, r"24 inner channels \(2 times width 12\) do not split into heads of 7"),
        (Mamba2, {"groups": 3}, "4 heads do not split into 3 groups: take a number that divides them"),
    ],
)
def test_sizes_that_cannot_be(kind: type[Recurrent], sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        model_of(kind, **sizes)


@both
def test_what_it_cannot_do_is_refused(kind: type[Recurrent]) -> None:
    model = model_of(kind)
    for attention, named in (("full", "'full'"), (torch.ones(12, 12, dtype=torch.bool), "a mask")):
        with pytest.raises(LookaheadError, match=f"a {kind.name} reads from left to right: .* not {named}"):
            model(some_tokens(), attention=attention)
    with pytest.raises(LookaheadError, match=f"a {kind.name} has no attention maps"):
        model.attention_maps(some_tokens())
    with pytest.raises(LookaheadError, match="in float16 on a CPU: take float32 or bfloat16"):
        model.half()(some_tokens())
    assert kind.attentions == ("causal",)


@both
def test_an_objective_that_needs_both_directions_is_refused(
    kind: type[Recurrent], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookahead.contracts import Needs
    from lookahead.objectives import Teacherless

    monkeypatch.setattr(
        Teacherless, "needs", classmethod(lambda cls, p, a, **rest: Needs(longest=20, attention="full"))
    )
    run = Run(task=TASK, model={"name": kind.name, **SIZES[kind]}, objective="teacherless")
    with pytest.raises(LookaheadError, match=f"teacherless needs full attention, which a {kind.name} cannot do"):
        run.build()
