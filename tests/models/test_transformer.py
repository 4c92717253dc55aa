"""The transformer: its fast paths against the readable ones, its initialisation, generation."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gpt2_twin import gpt2_twin
from lookahead.contracts import Model
from lookahead.errors import LookaheadError
from lookahead.models import Transformer
from lookahead.objectives.sequences import generate

VOCAB, LONGEST = 17, 12
CLOSE = {"atol": 1e-12, "rtol": 1e-10}


def transformer(seed: int = 0, **options: Any) -> Transformer:
    """In float64."""
    torch.manual_seed(seed)
    sizes = {"layers": 2, "width": 24, "heads": 3, **options}
    return Transformer(VOCAB, LONGEST, **sizes).double()


def some_tokens(rows: int = 3, length: int = LONGEST, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def masks(rows: int, length: int) -> dict[str, str | Tensor]:
    """Every kind of attention; each row of a mask may look at least at itself."""
    itself = torch.eye(length, dtype=torch.bool)
    generator = torch.Generator().manual_seed(1)
    return {
        "causal": "causal",
        "full": "full",
        "mask [T, T]": itself | (torch.rand(length, length, generator=generator) < 0.4),
        "mask [B, T, T]": itself | (torch.rand(rows, length, length, generator=generator) < 0.4),
    }


# -- the fast path -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", masks(1, 1))
def test_sdpa_is_plain_attention_forward_and_backward(kind: str) -> None:
    attention = masks(3, LONGEST)[kind]
    found = []
    for implementation in Transformer.implementations:
        model = transformer(implementation=implementation)
        logits = model.unembed(model(some_tokens(), attention=attention))
        logits.logsumexp(dim=-1).square().sum().backward()
        found.append((logits, {name: p.grad for name, p in model.named_parameters()}))
    (fused, fused_grads), (plain, plain_grads) = found
    torch.testing.assert_close(fused, plain, **CLOSE)
    for name, grad in fused_grads.items():
        assert grad is not None, name
        torch.testing.assert_close(grad, plain_grads[name], **CLOSE, msg=lambda text, name=name: f"{name}: {text}")


def test_the_masks_are_masks() -> None:
    """A mask that says causal is causal attention; other masks give something else."""
    model, tokens = transformer(), some_tokens()
    causal = torch.ones(LONGEST, LONGEST, dtype=torch.bool).tril()
    torch.testing.assert_close(model(tokens, attention=causal), model(tokens), **CLOSE)
    torch.testing.assert_close(model(tokens, attention=causal.expand(3, -1, -1)), model(tokens), **CLOSE)
    torch.testing.assert_close(model(tokens, attention=torch.ones_like(causal)), model(tokens, attention="full"))
    for attention in ("full", causal.T):
        assert not torch.allclose(model(tokens, attention=attention), model(tokens))


def test_full_attention_looks_everywhere() -> None:
    model, tokens = transformer(), some_tokens()
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % VOCAB
    same = torch.isclose(model(changed, attention="full"), model(tokens, attention="full"))
    assert not same.all(dim=2).any()


# -- true to GPT-2 -------------------------------------------------------------------------------------------


def test_it_is_gpt2() -> None:
    """With its weights, transformers' GPT-2 has the same logits, and generates the same."""
    model, tokens = transformer(), some_tokens()
    twin = gpt2_twin(model).eval()
    torch.testing.assert_close(twin(tokens).logits, model.unembed(model(tokens)), **CLOSE)
    few = twin(tokens, logits_to_keep=4).logits
    torch.testing.assert_close(few, model.unembed(model(tokens, last=4)), **CLOSE)
    prompt = tokens[:, :7]
    written = twin.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=5, do_sample=False)
    assert torch.equal(written[:, 7:], generate(model, prompt, 5))
    assert sum(p.numel() for p in twin.parameters()) == sum(p.numel() for p in model.parameters())


# -- the last positions only ---------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", Transformer.implementations)
@pytest.mark.parametrize("last", [1, 4, LONGEST])
@pytest.mark.parametrize("attention", ["causal", "full", "mask", "masks"])
def test_the_last_positions_are_those_of_the_full_pass(attention: Any, last: int, implementation: str) -> None:
    """Forward and backward, for every kind of attention."""
    model, tokens = transformer(implementation=implementation), some_tokens()
    if attention in ("mask", "masks"):
        shape = (3, LONGEST, LONGEST) if attention == "masks" else (LONGEST, LONGEST)
        attention = (torch.rand(shape, generator=torch.manual_seed(5)) < 0.5) | torch.eye(LONGEST, dtype=torch.bool)
    gradients = []
    for hidden in (model(tokens, attention=attention)[:, -last:], model(tokens, attention=attention, last=last)):
        model.zero_grad()
        hidden.square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(hidden, model(tokens, attention=attention)[:, -last:], **CLOSE)
    assert hidden.shape == (3, last, 24)
    assert len(gradients[0]) > 10
    torch.testing.assert_close(gradients[1], gradients[0], **CLOSE)


# -- inputs --------------------------------------------------------------------------------------------------


def test_positions() -> None:
    model, tokens = transformer(), some_tokens(length=4)
    counted = torch.arange(4)
    torch.testing.assert_close(model(tokens, counted), model(tokens), atol=0, rtol=0)
    torch.testing.assert_close(model(tokens, counted.expand(3, 4)), model(tokens), **CLOSE)
    assert not torch.allclose(model(tokens, counted + 5), model(tokens))
    order = torch.tensor([2, 0, 3, 1])  # without a causal mask, a sequence is a set of (token, position)
    shuffled = model(tokens[:, order], order, attention="full")
    torch.testing.assert_close(shuffled, model(tokens, attention="full")[:, order], **CLOSE)


def test_attention_maps_are_what_forward_uses() -> None:
    """The first layer's output is rebuilt from its map; the maps of the whole are causal and sum to 1."""
    model, tokens = transformer(layers=1), some_tokens()
    maps = model.attention_maps(tokens)
    assert maps.shape == (1, 3, 3, LONGEST, LONGEST)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones_like(maps[..., 0]), **CLOSE)
    assert (maps.triu(diagonal=1) == 0).all()
    block = model.blocks[0]
    x = model.enter(tokens)
    values = block.attention.project(block.attention_norm(x))[2]
    x = x + block.attention.out((maps[0] @ values).transpose(1, 2).flatten(2))
    rebuilt = x + block.mlp_out(F.gelu(block.mlp_in(block.mlp_norm(x)), approximate="tanh"))
    torch.testing.assert_close(rebuilt, model(tokens), **CLOSE)
    deeper = transformer(layers=3)
    torch.testing.assert_close(deeper.attention_maps(tokens).sum(dim=-1), torch.ones(3, 3, 3, LONGEST).double())
    full = deeper.attention_maps(tokens, attention="full")
    assert (full > 0).all()


def test_a_model_without_attention_maps_says_so() -> None:
    with pytest.raises(LookaheadError, match="a transformer has no attention maps"):
        Model.attention_maps(transformer(), some_tokens())


# -- what is built -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaled", [True, False])
def test_what_writes_into_the_residual_stream_starts_smaller(scaled: bool) -> None:
    """By sqrt(2 layers), unless it is told not to. The deviation of n normal weights is known to 1 / sqrt(2 n): five of
    those are allowed."""
    layers, width = 8, 64
    model = Transformer(200, 100, layers=layers, width=width, heads=4, scaled=scaled)
    assert model.fresh().scaled == scaled
    seen = set()
    for name, weight in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            expected = torch.ones_like(weight) if name.endswith("norm.weight") else torch.zeros_like(weight)
            assert torch.equal(weight, expected), name
            continue
        small = name.endswith(("attention.out.weight", "mlp_out.weight"))
        seen.add((name.split(".")[-2], small))
        std = 0.4 / math.sqrt(width) / (math.sqrt(2 * layers) if small and scaled else 1)
        assert abs(weight.std().item() / std - 1) < 5 / math.sqrt(2 * weight.numel()), name
    small = {("out", True), ("mlp_out", True)}
    large = {(name, False) for name in ("query_key_value", "mlp_in", "token_embedding", "position_embedding")}
    assert seen == small | large


def test_input_and_output_embeddings_are_one() -> None:
    model = transformer()
    assert not any("head" in name or "unembed" in name for name, _ in model.named_parameters())
    hidden = model(some_tokens())
    by_hand = model.final_norm(hidden) @ model.token_embedding.weight.T
    torch.testing.assert_close(model.unembed(hidden), by_hand, **CLOSE)


@pytest.mark.parametrize(
    ("preset", "sizes", "blocks"),
    [
        ("tiny", {"layers": 3, "width": 64, "heads": 4}, 149_952),
        ("mini", {"layers": 12, "width": 384, "heads": 6}, None),
    ],
)
def test_presets(preset: str, sizes: dict[str, int], blocks: int | None) -> None:
    """12 D^2 weights and 13 D numbers beside them in a block; GPT-Mini has 12 layers, width 384, 6 heads."""
    assert Transformer.presets[preset] == sizes
    width, layers = sizes["width"], sizes["layers"]
    with torch.device("meta"):
        model = Transformer(57, 70, **sizes)
    counted = layers * (12 * width**2 + 13 * width)
    assert blocks is None or counted == blocks
    assert sum(p.numel() for p in model.parameters()) == counted + (57 + 70) * width + 2 * width


def test_a_fresh_trunk_is_another_one_of_its_kind() -> None:
    model = transformer(implementation="plain")
    other = model.fresh(layers=3)
    assert (len(other.blocks), other.width, other.heads, other.implementation) == (3, 24, 3, "plain")
    assert (other.vocab_size, other.longest) == (VOCAB, LONGEST)
    assert not torch.equal(other.token_embedding.weight.double(), model.token_embedding.weight)
    assert {id(p) for p in model.parameters()}.isdisjoint({id(p) for p in other.parameters()})


# -- what is stored ------------------------------------------------------------------------------------------


def test_the_weights_names_and_first_values_stay() -> None:
    """Stored weights load by these names, and a stored result is what its seed draws."""
    model = transformer(layers=1, width=2, heads=1).float()
    linear = ("attention.query_key_value", "attention.out", "mlp_in", "mlp_out")
    names = {
        f"blocks.0.{layer}.{kind}" for layer in (*linear, "attention_norm", "mlp_norm") for kind in ("weight", "bias")
    }
    embeddings = {"token_embedding.weight", "position_embedding.weight"}
    assert set(model.state_dict()) == names | embeddings | {"final_norm.weight", "final_norm.bias"}
    first = [model.state_dict()[f"blocks.0.{layer}.weight"][0, 0].item() for layer in linear]
    assert first == pytest.approx([0.0741226, 0.1095409, -0.1514326, 0.0120983], rel=1e-5)


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 10, "heads": 4}, "width 10 does not split into 4 heads: take a multiple of 4"),
        ({"heads": 0}, "heads must be at least 1, not 0"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"implementation": "flash"}, "implementation must be one of sdpa, plain, not 'flash'"),
        ({"layers": 2.5}, "layers must be a whole number, not 2.5"),
        ({"width": "24"}, "width must be a whole number, not '24'"),
        ({"heads": True}, "heads must be a whole number, not True"),
    ],
)
def test_sizes_that_cannot_be(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(LookaheadError, match=message):
        transformer(**sizes)


@pytest.mark.parametrize("implementation", Transformer.implementations)
def test_what_it_cannot_read_is_refused(implementation: str) -> None:
    model = transformer(implementation=implementation)
    with pytest.raises(LookaheadError, match="13 tokens, but the model was built for at most 12"):
        model(some_tokens(length=13))
    _, cache = model.decode(some_tokens())
    with pytest.raises(LookaheadError, match="13 tokens, but the model was built for at most 12"):
        model.decode(some_tokens(length=1), cache)
    with pytest.raises(LookaheadError, match="attention is 'causal', 'full' or a bool mask, not 'sliding'"):
        model(some_tokens(), attention="sliding")
