"""A summary of the future: a second output says which tokens are still to come, in whatever order."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lookahead.objectives.second_output import SecondOutput


class FutureSummary(SecondOutput, name="future_summary"):
    """-sum_i log p(a_i | prompt, a_0 ... a_{i-1}) - weight sum_i sum_v log s_i(v comes, or does not) ("FSP-BoW").

    v comes if it is among a_{i+1} ... a_{A-1}: the next token, a_i, is left to the other term. s_i(v) is a sigmoid of
    its own for every v of the vocabulary (Mahajan et al., 2025: future summary prediction as a bag of words). The
    window, which the paper leaves to choose, holds the whole answer. Its tf-idf weights are left out, as in its
    ablation: no node is rarer than another.

    Open there, chosen here: the head is one more output matrix after the model's final norm; taught are the states
    from `=` on, the last with nothing to come. Each term is a mean over them, the sum over v is none. A model answers
    without the summary.

    Args:
        weight: of the summary's loss. At 1, as in the paper, it is about as many times larger than the other term as
            there are tokens that may come.

    Raises:
        LookaheadError: a weight that is not above 0.
    """

    def losses(self, scores: Tensor, answers: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        bags = self.bags(answers, mask).to(scores.dtype)
        losses = F.binary_cross_entropy_with_logits(scores, bags, reduction="none")
        return {"summary": losses.sum(dim=-1)}

    def bags(self, answers: Tensor, mask: Tensor | None = None) -> Tensor:
        """Whether a token comes after a_i, [B, A, V], bool.

        Args:
            mask: which answer tokens count, [B, A], bool; all if not given. No other is to come.
        """
        here = answers[..., None] == torch.arange(self.model.vocab_size, device=answers.device)  # [B, A, V]
        if mask is not None:
            here = here & mask[..., None]
        counts = here.long()
        return counts.sum(dim=1, keepdim=True) > counts.cumsum(dim=1)  # some of them come after i
