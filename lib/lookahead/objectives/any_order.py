"""The answer in any order: a causal network that is told the place of every token, and of the next one to predict."""

import math
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.contracts import Loss, Needs, Objective
from lookahead.errors import CannotContinue
from lookahead.kinds import Range
from lookahead.objectives.heads import INITIAL_DEVIATION, token_losses, width_of
from lookahead.objectives.sequences import begun, needed, refuse_different_lengths


class AnyOrder(Objective, name="any_order"):
    """-sum_j log p(a_{s_j} | prompt, a_{s_0} ... a_{s_{j-1}}) for an order s of the places (Pannatier et al., 2024,
    "sigma-GPT").

        input       the prompt   =          a_{s_0}          a_{s_1}
        its place                           s_0              s_1
        its aim                  s_0        s_1              s_2
        predicts                 a_{s_0}    a_{s_1}          a_{s_2}

    Two codes are added to the embedding of an input: of its place in the answer, and of its aim, the place of the token
    that it is to predict. There these are the only positions, in halves of the width; here the model keeps its own,
    too, which count the inputs. The prompt stays in its order, and nothing in it is predicted.

    Where the loss is measured, that of a token and the predictions are those in the order in which it answers. What was
    descended is the part "drawn".

    Args:
        shuffled: the share of examples in which the order is random, drawn anew in every step, all orders alike; the
            others have the order below. At 0 it is teacher forcing, or reversed training, with codes that say nothing
            new.
        order: "forward", from left to right, or "backward": that of the examples not shuffled, and of all answers.

    Raises:
        LookaheadError: a task whose answers differ in length; in another order, filling would come before the end.
    """

    order: Tensor

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        shuffled: Annotated[float, Range(least=0, most=1)] = 1.0,
        order: Literal["forward", "backward"] = "forward",
    ) -> None:
        super().__init__(model, task)
        self.shuffled, order = self.checked(shuffled=shuffled, order=order).values()
        refuse_different_lengths(task, "orders other than from left to right would begin with filling")
        places = torch.arange(self.answer_length)
        self.register_buffer("order", places if order == "forward" else places.flip(0), persistent=False)
        self.backward_first = order == "backward"
        width = width_of(model)
        self.place_embedding, self.aim_embedding = (nn.Embedding(self.answer_length, width) for _ in range(2))
        for code in (self.place_embedding, self.aim_embedding):
            nn.init.normal_(code.weight, std=INITIAL_DEVIATION / math.sqrt(width))

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length - 1, noise=2)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        loss = self.in_order(prompts, answers, self.draw(needed(noise)))
        loss.parts["drawn"] = loss.total
        if progress is None:
            own = self.in_order(prompts, answers, self.order.expand_as(answers))
            loss.tokens, loss.predictions = own.tokens, own.predictions
        return loss

    def draw(self, noise: Tensor) -> Tensor:
        """An order for every example, [B, A], from noise [B, A, 2]."""
        return torch.where(noise[:, :1, 1] < self.shuffled, noise[..., 0].argsort(dim=1), self.order)

    def in_order(self, prompts: Tensor, answers: Tensor, order: Tensor) -> Loss:
        """The loss on prompts [B, P] with answers [B, A], read in an order [B, A]."""
        hidden = self.model(self.inputs(prompts, answers, order), last=self.answer_length)
        logits = self.model.unembed(hidden)  # [B, A, V], in that order
        losses, back = token_losses(logits, answers.gather(1, order)), order.argsort(dim=1)
        return Loss(losses.mean(), losses.gather(1, back), logits.argmax(dim=-1).gather(1, back))

    def inputs(self, prompts: Tensor, answers: Tensor, order: Tensor) -> Tensor:
        """What the model reads, [B, P + A - 1, D]: embeddings, and codes from the last prompt token on."""
        embedded = self.model.embed(torch.cat([prompts, answers.gather(1, order[:, :-1])], dim=1))
        codes = self.aim_embedding(order) + F.pad(self.place_embedding(order[:, :-1]), (0, 0, 1, 0))  # [B, A, D]
        return embedded + F.pad(codes, (0, 0, self.prompt_length - 1, 0))

    @torch.no_grad()
    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        """Autoregressive, forward or backward."""
        if given is not None and self.backward_first:
            raise CannotContinue("answers in backward order start at the goal: they cannot go on from the start")
        given = begun(prompts, given, self.answer_length)
        known = given.shape[1]
        answers = torch.cat([given, prompts.new_zeros(len(prompts), self.answer_length - known)], dim=1)
        order, cache, read = self.order.expand_as(answers), None, 0
        for step in range(known, self.answer_length):
            unread = self.inputs(prompts, answers, order)[:, read : (read := self.prompt_length + step)]
            hidden, cache = self.model.decode(unread, cache, last=1)
            token = self.model.unembed(hidden).argmax(dim=-1)  # [B, 1]
            answers = answers.scatter(1, order[:, step : step + 1], token)
        return answers
