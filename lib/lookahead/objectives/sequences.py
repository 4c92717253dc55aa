"""What the objectives share: a prompt, then one input for every answer token but the last.

    position    0 ...  P - 2   P - 1   P     P + 1   ...
    input       the prompt     =       h_0   h_1     ... h_{A-2}
    predicts                   a_0     a_1   a_2     ... a_{A-1}

The inputs h behind the prompt are the *hints*. The methods differ in what they put there.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.contracts import Loss, Model
from lookahead.errors import LookaheadError


def read(model: Model, prompts: Tensor, hints: Tensor) -> Tensor:
    """Logits of every answer token [B, A, V], from prompts [B, P] and hints [B, A - 1]."""
    hidden = model(torch.cat([prompts, hints], dim=1), last=hints.shape[1] + 1)
    return model.unembed(hidden)


def answer_loss(logits: Tensor, answers: Tensor, taught: Tensor | None = None) -> Loss:
    """Cross entropy on the answer alone.

    Args:
        logits: [B, A, V].
        answers: [B, A].
        taught: indices of the tokens to teach; all if not given.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    tokens = F.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="none").view_as(answers)
    total = tokens.mean()
    if taught is not None:
        chosen = tokens.index_select(1, taught)
        total = chosen.mean()
        tokens = torch.full_like(tokens, torch.nan).index_copy(1, taught, chosen)
    return Loss(total, tokens, logits.argmax(dim=-1))


@torch.no_grad()
def generate(
    model: Model,
    prompts: Tensor,
    length: int,
    given: Tensor | None = None,
    hint: Callable[[Tensor], Tensor] = lambda answers: answers[:, :-1],
) -> Tensor:
    """Greedy answers [B, length], token by token with the model's cache.

    Args:
        given: forced first tokens [B, K].
        hint: what the model reads of the answer so far: [B, length] -> [B, length - 1].
    """
    answers = prompts.new_zeros(prompts.shape[0], length)
    known = 0
    if given is not None:
        known = given.shape[1]
        if known > length:
            raise LookaheadError(f"{known} forced tokens, but an answer has {length}")
        answers[:, :known] = given
    unread = torch.cat([prompts, hint(answers)[:, :known]], dim=1)
    cache = None
    for i in range(known, length):
        hidden, cache = model.step(unread, cache, last=1)
        answers[:, i] = model.unembed(hidden[:, -1]).argmax(dim=-1)
        unread = hint(answers)[:, i : i + 1]
    return answers
