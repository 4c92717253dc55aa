"""The order of what comes: a second output ranks the tokens of the rest of the answer, the nearest first."""

from typing import Annotated, Any

import torch
from torch import Tensor

from lookahead.kinds import Range
from lookahead.objectives.second_output import SecondOutput
from lookahead.objectives.sequences import places_to_come


class TokenOrder(SecondOutput, name="token_order"):
    """-sum_i log p(a_i | prompt, a_0 ... a_{i-1}) - sum_i sum_v q_i(v) log o_i(v) (Zuhri et al., 2025, "TOP").

    q_i(v) is proportional to exp(-d_i(v) / temperature), where d_i(v) is how far after a_i the next v comes: 0 for
    a_i itself. A token that does not come any more has q_i(v) = 0. The distribution o is that of a second output matrix
    after the model's final norm; a model answers without it. In the paper the loss is ListNet's, over scores of W -
    d_i(v) inside a window of W tokens: the same, wherever the window holds the whole answer, as it does here.

    Taught are the states from `=` on. Each of the two terms is a mean over them.

    Args:
        temperature: 1 in the paper. Towards 0 it asks for the next token alone, as teacher forcing does; towards
            infinity for all that is to come, whatever the order.

    Raises:
        LookaheadError: a temperature that is not above 0.
    """

    def __init__(self, model: Any, task: Any, *, temperature: Annotated[float, Range(above=0)] = 1.0) -> None:
        super().__init__(model, task)
        self.temperature = self.checked(temperature=temperature)["temperature"]

    def losses(self, scores: Tensor, answers: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        logs = scores.log_softmax(dim=-1)
        logs = logs.gather(2, answers[:, None].expand(-1, self.answer_length, -1))  # of every answer token, [B, A, A]
        return {"order": -(self.shares(answers, mask).to(logs.dtype) * logs).sum(dim=2)}

    def shares(self, answers: Tensor, mask: Tensor | None = None) -> Tensor:
        """q_i(a_j) at [:, i, j], [B, A, A]; of a token that comes several times at the first place from i on.

        Args:
            mask: which answer tokens count, [B, A], bool; all if not given. No other is to come.
        """
        places = torch.arange(self.answer_length, device=answers.device)
        coming = places_to_come(answers, mask)
        distances = places - places[:, None]  # of j after i
        shares = torch.where(coming, (-distances.clamp(min=0) / self.temperature).exp(), 0)
        return shares / shares.sum(dim=2, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
