"""What every registered model promises (`lookahead.contracts.Model`), whatever is inside of it."""

import pytest
import torch
from torch import Tensor

from lookahead.contracts import Model
from lookahead.errors import LookaheadError
from registered import MODEL_VARIANTS

VOCAB, LONGEST = 17, 12
CLOSE = {"atol": 1e-12, "rtol": 1e-10}


@pytest.fixture(params=MODEL_VARIANTS.values(), ids=MODEL_VARIANTS)
def model(request: pytest.FixtureRequest) -> Model:
    """Newly initialised, in float64."""
    options = dict(request.param)
    torch.manual_seed(0)
    return Model.named(options.pop("name"))(VOCAB, LONGEST, **options).double()


@pytest.fixture
def tokens() -> Tensor:
    return some_tokens(rows=3, length=LONGEST)


def some_tokens(rows: int, length: int) -> Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(0))


def test_shapes(model: Model, tokens: Tensor) -> None:
    embeddings, hidden = model.embed(tokens), model(tokens)
    assert embeddings.shape == hidden.shape
    assert hidden.shape[:2] == (3, LONGEST)
    assert model.unembed(hidden).shape == (3, LONGEST, VOCAB)
    assert model.unembed(hidden[:, -1]).shape == (3, VOCAB)
    assert (model.vocab_size, model.longest) == (VOCAB, LONGEST)


def test_embeddings_may_stand_for_tokens(model: Model, tokens: Tensor) -> None:
    torch.testing.assert_close(model(model.embed(tokens)), model(tokens), atol=0, rtol=0)
    torch.testing.assert_close(model.decode(model.embed(tokens))[0], model.decode(tokens)[0], atol=0, rtol=0)


def test_positions_may_be_counted(model: Model, tokens: Tensor) -> None:
    torch.testing.assert_close(model(tokens, torch.arange(LONGEST)), model(tokens), atol=0, rtol=0)


def test_later_tokens_change_nothing_before_them(model: Model, tokens: Tensor) -> None:
    before = model(tokens)
    for position in range(LONGEST):
        changed = tokens.clone()
        changed[:, position] = (changed[:, position] + 1) % VOCAB
        after = model(changed)
        torch.testing.assert_close(after[:, :position], before[:, :position], **CLOSE)
        assert not torch.isclose(after[:, position:], before[:, position:]).all(dim=2).any()


@pytest.mark.parametrize("last", [1, 4, LONGEST])
def test_the_last_positions_are_those_of_the_full_pass(model: Model, tokens: Tensor, last: int) -> None:
    """Forward and backward."""
    gradients = []
    for hidden in (model(tokens)[:, -last:], model(tokens, last=last)):
        model.zero_grad()
        hidden.square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(hidden, model(tokens)[:, -last:], **CLOSE)
    assert hidden.shape[:2] == (3, last)
    assert len(gradients[0]) > 10
    torch.testing.assert_close(gradients[1], gradients[0], **CLOSE)


@pytest.mark.parametrize("last", [0, -1, LONGEST + 1])
def test_positions_that_are_not_there_are_refused(model: Model, tokens: Tensor, last: int) -> None:
    message = f"the last {last} of 12 positions are asked for: take 1 to 12"
    with pytest.raises(LookaheadError, match=message):
        model(tokens, last=last)
    with pytest.raises(LookaheadError, match=message):
        model.decode(tokens, last=last)


@pytest.mark.parametrize("chunks", [[1] * LONGEST, [5, 4, 3], [7, 1, 1, 3], [2, 1, 9], [LONGEST]], ids=str)
def test_decoding_in_chunks_is_the_full_pass(model: Model, tokens: Tensor, chunks: list[int]) -> None:
    cache, hidden = None, []
    for chunk in tokens.split(chunks, dim=1):
        part, cache = model.decode(chunk, cache)
        hidden.append(part)
    torch.testing.assert_close(torch.cat(hidden, dim=1), model(tokens), **CLOSE)


def test_decode_gives_the_last_positions_too(model: Model, tokens: Tensor) -> None:
    whole = model(tokens)
    first, cache = model.decode(tokens[:, :7], last=1)
    second, _ = model.decode(tokens[:, 7:], cache, last=2)
    torch.testing.assert_close(first, whole[:, 6:7], **CLOSE)
    torch.testing.assert_close(second, whole[:, -2:], **CLOSE)


def test_a_cache_can_be_extended_again(model: Model, tokens: Tensor) -> None:
    _, cache = model.decode(tokens[:, :5])
    for rest in (tokens[:, 5:9], tokens[:, 9:], tokens[:, 5:]):
        found, _ = model.decode(rest, cache)
        whole = model(torch.cat([tokens[:, :5], rest], dim=1))
        torch.testing.assert_close(found, whole[:, 5:], **CLOSE)


def test_generation_with_a_cache_is_generation_without(model: Model) -> None:
    prompt = some_tokens(rows=20, length=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)  # so that answers differ
    slow = prompt
    while slow.shape[1] < LONGEST:
        slow = torch.cat([slow, model.unembed(model(slow))[:, -1:].argmax(dim=-1)], dim=1)
    fast, unread, cache = prompt, prompt, None
    while fast.shape[1] < LONGEST:
        hidden, cache = model.decode(unread, cache)
        unread = model.unembed(hidden[:, -1:]).argmax(dim=-1)
        fast = torch.cat([fast, unread], dim=1)
    assert torch.equal(fast, slow)
    assert slow[:, 5:].unique().numel() > 2, "a generation of one token could not fail"


def test_a_fresh_trunk_is_another_one_of_its_kind(model: Model, tokens: Tensor) -> None:
    other = model.fresh(layers=1).double()
    assert type(other) is type(model)
    assert (other.vocab_size, other.longest) == (VOCAB, LONGEST)
    assert other(tokens).shape == model(tokens).shape
    assert not torch.equal(other.embed(tokens), model.embed(tokens))
    assert {id(p) for p in model.parameters()}.isdisjoint({id(p) for p in other.parameters()})


def test_a_fresh_trunk_may_share_the_tokens_alone(model: Model, tokens: Tensor) -> None:
    other = model.fresh(shared=True).double()
    assert [name for name, _ in other.named_parameters()] == [name for name, _ in model.named_parameters()]
    own = {id(p) for p in model.parameters()}
    shared = [p for p in other.parameters() if id(p) in own]
    assert any(p is model.output for p in shared)
    assert {p.shape for p in shared} == {model.output.shape}, "the other one, if there is one, is that of the tokens"
    assert torch.equal(other.embed(tokens), model.embed(tokens))


def test_logits_are_products_of_the_normed_state_with_the_output_matrix(model: Model, tokens: Tensor) -> None:
    hidden = model(tokens)
    assert model.output.shape == (VOCAB, hidden.shape[-1])
    assert torch.equal(model.unembed(hidden), model.norm(hidden) @ model.output.T)


def test_bfloat16_by_autocast(model: Model, tokens: Tensor) -> None:
    """Runs, decoding too, and stays near float32: bfloat16 has 8 bits, so 1 % of the largest, tenfold."""
    model = model.float()
    exact = model.unembed(model(tokens))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.unembed(model(tokens))
        first, cache = model.decode(tokens[:, :5])
        second, _ = model.decode(tokens[:, 5:], cache)
        cached = model.unembed(torch.cat([first, second], dim=1))
    assert logits.dtype == torch.bfloat16
    for found in (logits, cached):
        assert (found - exact).abs().max() < 0.1 * exact.abs().max()
    logits.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
