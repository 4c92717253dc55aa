"""Value-guided answers: a judge learns which of a model's own answers end right, and leads the model by it."""

from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookahead.contracts import Loss, Needs, Objective
from lookahead.kinds import Count, Range
from lookahead.objectives.heads import width_of
from lookahead.objectives.policy_gradient import draw_answers
from lookahead.objectives.sequences import answer_loss, begun, exact, read, refuse_different_lengths
from lookahead.objectives.teacher_forcing import TeacherForcing


class ValueGuided(TeacherForcing, name="value_guided"):
    """-mean_i [R log v_i + (1 - R) log(1 - v_i)], where v_i = v(prompt, b_0 ... b_i), and the model drew the answer b.

    R is 1 if b is right, else 0. The judge v is a second network of the model's kind, with weights of its own, and it
    alone is taught: the model stays as it was, as it came from another run as a rule. An answer is given token by
    token, by log p(b_i) + log(1 + v_i (e^(1 / temperature) - 1)): the model's own probability, times the expectation of
    e^(R / temperature) (Zhou et al., 2025: "Q#", its equation for rewards of 0 and 1).

    Their published code shows the judge the true answer and one wrong one. Here, as in their text, it is shown what the
    model draws. And here the best token is taken and not a random one; of the model's few most probable ones, as there.

    Where the loss is measured, that of a token is the model's under teacher forcing, which does not change; predictions
    are the guided ones, after the true tokens.

    Args:
        temperature: eta; the smaller, the more the judge decides.
        candidates: the model's most probable tokens, among which the judge chooses.

    Raises:
        LookaheadError: a task whose answers differ in length; an answer that ends elsewhere has other tokens to judge.
    """

    prefill = Objective.prefill  # the judge reads the prompt anew

    def __init__(
        self,
        model: Any,
        task: Any,
        *,
        temperature: Annotated[float, Range(above=0)] = 0.1,
        candidates: Count = 4,
    ) -> None:
        super().__init__(model, task)
        options = self.checked(temperature=temperature, candidates=candidates)
        self.temperature, self.candidates = options.values()
        refuse_different_lengths(task, "an answer that ends elsewhere has other tokens to judge")
        self.correct = task.correct
        self.judge = model.fresh()
        self.verdict = nn.Linear(width_of(model), 1)
        model.requires_grad_(False)

    @classmethod
    def needs(cls, prompt_length: int, answer_length: int, **options: Any) -> Needs:
        return Needs(longest=prompt_length + answer_length, noise=1)

    def forward(
        self, prompts: Tensor, answers: Tensor, noise: Tensor | None = None, progress: Tensor | None = None
    ) -> Loss:
        given = draw_answers(self.model, prompts, self.answer_length, noise)  # [B, A]
        rewards = self.correct(prompts, answers, given).float()  # [B]
        values = self.values(prompts, given)
        total = F.binary_cross_entropy_with_logits(values, rewards[:, None].expand_as(values).to(values.dtype))
        taught = answer_loss(read(self.model, prompts, answers[:, :-1]), answers)
        told = ((values > 0) == (rewards[:, None] > 0)).float().mean(dim=0)  # [A]
        parts = {"reward": rewards.mean(), **{f"verdict {place}": right for place, right in enumerate(told)}}
        predictions = taught.predictions
        if progress is None:
            choices = [self.choose(prompts, answers[:, :place]) for place in range(self.answer_length)]
            predictions = torch.stack(choices, dim=1)
        return Loss(total, taught.tokens, predictions, parts)

    def values(self, prompts: Tensor, given: Tensor) -> Tensor:
        """The judge's logits of "it ends right" after each token of answers [B, K]: [B, K]."""
        hidden = self.judge(torch.cat([prompts, given], dim=1), last=given.shape[1])
        return exact(self.verdict(self.judge.norm(hidden)))[..., 0]

    @torch.no_grad()
    def choose(self, prompts: Tensor, shown: Tensor) -> Tensor:
        """The next token [B] after the first tokens of an answer, [B, K]."""
        hidden = self.model(torch.cat([prompts, shown], dim=1), last=1)
        logs = exact(self.model.unembed(hidden))[:, 0].log_softmax(dim=-1)
        own, tokens = logs.topk(min(self.candidates, logs.shape[1]), dim=-1)  # [B, C] each
        each = tokens.shape[1]
        tried = torch.cat([shown.repeat_interleave(each, dim=0), tokens.flatten()[:, None]], dim=1)
        values = self.values(prompts.repeat_interleave(each, dim=0), tried)[:, -1].view_as(own)
        scores = own + torch.logaddexp(F.logsigmoid(-values), F.logsigmoid(values) + 1 / self.temperature)
        return tokens.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]

    @torch.no_grad()
    def answer(self, prompts: Tensor, given: Tensor | None = None) -> Tensor:
        answers = begun(prompts, given, self.answer_length)
        while answers.shape[1] < self.answer_length:
            answers = torch.cat([answers, self.choose(prompts, answers)[:, None]], dim=1)
        return answers
