"""Ranking into the future: a second output scores what is still to come higher than the rest, the nearest highest."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.objectives.second_output import SecondOutput
from lookahead.objectives.sequences import places_to_come


class Ranking(SecondOutput, name="ranking"):
    """Teacher forcing + weight sum_i sum_{j >= i} [sum_{k > j} H(s_i(a_j) - s_i(a_k)) + sum_v H(s_i(a_j) - s_i(v))].

    H(x) = max(0, 1 - x): the first is to lie above the second by 1. At state i, which predicts a_i, every token to come
    is so ranked above each one that comes later, and above every v of the vocabulary that does not come any more
    (Frydenlund, 2025: "ranking-into-the-future", "RITF").

    Open in what is published of it, chosen here: the scores s are those of a second output matrix after the model's
    final norm; tokens of the answer that have been read do not come any more; taught are the states from `=` on, and
    the sums over j, k and v are none of them means, that over i is. A token that comes several times has its first
    place. A model answers without the scores.

    Args:
        weight: of the ranking's loss.

    Raises:
        LookaheadError: a weight that is not above 0.
    """

    def losses(self, scores: Tensor, answers: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        to_come = places_to_come(answers, mask)  # [B, A (i), A (j)]
        own = scores.gather(2, answers[:, None].expand(-1, self.answer_length, -1))  # s_i(a_j)
        below = to_come[:, :, :, None] & to_come[:, :, None] & torch.ones_like(to_come[0]).triu(1)  # [B, i, j, k]
        named = F.one_hot(answers, self.model.vocab_size).to(scores.dtype)  # [B, j, V]
        rest = to_come[..., None] & ~(to_come.to(scores.dtype) @ named).bool()[:, :, None]  # [B, i, j, V]
        losses = {}
        for name, pairs, others in (("nearer above later", below, own), ("coming above rest", rest, scores)):
            missing = F.relu(1 - own[..., None] + others[:, :, None])  # of the distance, [B, i, j, k or v]
            losses[name] = torch.where(pairs, missing, 0).sum(dim=(2, 3))
        return losses
