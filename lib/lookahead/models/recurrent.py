"""A trunk of blocks that read a sequence from left to right and keep a memory of constant size.

x + mixer(norm(x)) in every block, RMSNorm (Zhang and Sennrich, 2019), input and output embeddings tied; no
positions, since a recurrence knows the order.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lookahead.contracts import Model
from lookahead.errors import LookaheadError
from lookahead.kinds import Count, annotations_of
from lookahead.models.ops.dispatch import Operation, resolve

EPSILON = 1e-5
INITIAL_DEVIATION = 0.4
"""Of an embedding, times sqrt(width), as in the Transformer here. (The original has 0.02, at widths from 768.)"""


@dataclass
class Memory:
    """What a mixer keeps of the tokens that were read; nothing at the start."""

    state: Tensor | None = None
    """State of the scan, in the shape that the operation gives it."""
    inputs: Tensor | None = None
    """The last inputs of the convolution, [b, K - 1, channels]."""


class Mixer(nn.Module):
    """Mixes the steps of a sequence: the part in which recurrent models differ.

    The keyword arguments of a mixer's constructor, beside the width, are options of its model.
    """

    operation: ClassVar[Operation]
    """The scan."""
    out_proj: nn.Linear

    def forward(self, x: Tensor, memory: Memory, last: int, kernels: str) -> tuple[Tensor, Memory]:
        """Outputs [b, last, D] for the last steps of x [b, T, D], and the memory after x.

        Args:
            memory: of the steps before x.
            last: how many steps, counted from the end, are wanted.
            kernels: how the scan is computed.
        """
        raise NotImplementedError


class Block(nn.Module):
    """x + mixer(norm(x))."""

    def __init__(self, width: int, mixer: Mixer) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, EPSILON)
        self.mixer = mixer

    def forward(self, x: Tensor, memory: Memory, last: int, kernels: str) -> tuple[Tensor, Memory]:
        mixed, after = self.mixer(self.norm(x), memory, last, kernels)
        return x[:, -last:] + mixed, after


class Recurrent(Model):
    """`layers` blocks around mixers; a subclass names their class.

    Linear maps start as torch's own, uniform with deviation 0.58 / sqrt(inputs), and those that write into the
    residual stream smaller by sqrt(layers); both as in the original.

    Args:
        vocab_size: V, ids that the model can read and predict.
        longest: the longest sequence that it will be taught; it can read on.
        kernels: how the scan is computed: "auto", "reference", "torch" or "mamba_ssm" (see `models.ops.dispatch`). That
            is how a model runs, not which model it is: no option of a run. LOOKAHEAD_KERNELS sets it for a process.
        mixer_options: the keyword arguments of the mixer.

    Raises:
        LookaheadError: sizes that cannot be.
    """

    supplied = Model.supplied | {"kernels"}
    mixer: ClassVar[type[Mixer]]
    blocks: Sequence[Block]

    def __init__(
        self, vocab_size: int, longest: int, *, layers: Count, width: Count, kernels: str = "auto", **mixer_options: Any
    ) -> None:
        super().__init__()
        mixer_options = self.checked(layers=layers, width=width, **mixer_options)
        layers, width = mixer_options.pop("layers"), mixer_options.pop("width")
        resolve(kernels)
        self.vocab_size, self.longest, self.width = vocab_size, longest, width
        self.kernels = kernels
        self.mixer_options = mixer_options
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.blocks = nn.ModuleList(  # type: ignore[assignment]
            Block(width, self.mixer(width, **mixer_options)) for _ in range(layers)
        )
        self.final_norm = nn.RMSNorm(width, EPSILON)
        nn.init.normal_(self.token_embedding.weight, std=INITIAL_DEVIATION / math.sqrt(width))
        with torch.no_grad():
            for block in self.blocks:
                block.mixer.out_proj.weight /= math.sqrt(layers)

    @classmethod
    def options(cls) -> dict[str, Any]:
        """Layers and width, and the options of the mixer."""
        own = {name: default for name, default in super().options().items() if name != "mixer_options"}
        mixer = inspect.signature(cls.mixer).parameters.values()
        return own | {p.name: p.default for p in mixer if p.kind is p.KEYWORD_ONLY}

    @classmethod
    def kinds(cls) -> dict[str, Any]:
        """Of layers and width, and of the options of the mixer."""
        return annotations_of(cls.mixer) | super().kinds()

    def forward(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        attention: str | Tensor = "causal",
        last: int | None = None,
    ) -> Tensor:
        """As `Model.forward`; positions may only count the steps, attention only be causal.

        Raises:
            LookaheadError: other positions, or another attention.
        """
        if not (isinstance(attention, str) and attention == "causal"):
            asked = repr(attention) if isinstance(attention, str) else "a mask"
            raise LookaheadError(f"a {self.name} reads from left to right: its attention is 'causal', not {asked}")
        if positions is not None and not (positions == torch.arange(inputs.shape[1], device=positions.device)).all():
            raise LookaheadError(
                f"a {self.name} has no positions but the order itself: leave them out, or count from 0"
            )
        x, _ = self.read(inputs, [Memory()] * len(self.blocks), last)
        return x

    def decode(
        self, tokens: Tensor, cache: list[Memory] | None = None, last: int | None = None
    ) -> tuple[Tensor, list[Memory]]:
        """As `Model.decode`; the cache is a memory for each block, of the same size however much was read."""
        return self.read(tokens, cache or [Memory()] * len(self.blocks), last)

    def read(self, inputs: Tensor, memories: Sequence[Memory], last: int | None) -> tuple[Tensor, list[Memory]]:
        """Hidden states [b, last, D] of inputs [b, T] or [b, T, D], and the memories after them.

        Args:
            memories: of the steps before the inputs, one for each block.
            last: as in `Model.forward`.
        """
        x = inputs if inputs.is_floating_point() else self.embed(inputs)
        length = x.shape[1]
        if last is not None and not 1 <= last <= length:
            raise LookaheadError(f"the last {last} of {length} positions are asked for: take 1 to {length}")
        after = []
        for block, memory in zip(self.blocks, memories, strict=True):
            rows = length if last is None or block is not self.blocks[-1] else last
            x, new = block(x, memory, rows, self.kernels)
            after.append(new)
        return x, after

    def kernels_used(self, device: torch.device, precision: torch.dtype) -> str:
        """The way in which the scan is computed: "reference", "torch" or "mamba_ssm"."""
        return self.blocks[0].mixer.operation.choose(self.kernels, device, precision)[0]

    def embed(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens)

    def norm(self, hidden: Tensor) -> Tensor:
        return self.final_norm(hidden)

    @property
    def output(self) -> Tensor:
        return self.token_embedding.weight

    def fresh(self, layers: int | None = None, shared: bool = False) -> Recurrent:
        sizes = {"layers": len(self.blocks) if layers is None else layers, "width": self.width, **self.mixer_options}
        other = type(self)(self.vocab_size, self.longest, kernels=self.kernels, **sizes)
        if shared:  # the parameter: `functional_call` takes a module in two places for two
            other.token_embedding.weight = self.token_embedding.weight
        return other


class CausalConvolution(nn.Conv1d):
    """Every channel mixed over its last K inputs, then SiLU."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels, channels, size, groups=channels)

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Outputs for x [b, T, channels], and the last K - 1 inputs.

        Args:
            before: the K - 1 inputs before x, [b, K - 1, channels]; zeros if None.
        """
        reach = self.kernel_size[0] - 1
        if before is None:
            before = x.new_zeros(x.shape[0], reach, x.shape[2])
        x = torch.cat([before.to(x.dtype), x], dim=1)
        assert self.bias is not None
        mixed = ShiftedSum.apply(x, self.weight[:, 0].T.to(x.dtype), self.bias.to(x.dtype))
        return F.silu(mixed), x[:, x.shape[1] - reach :]


class ShiftedSum(torch.autograd.Function):
    """y_t = bias + sum_k w_k x_{t+k}: x [b, T + K - 1, channels], w [K, channels] -> [b, T, channels].

    With the channels last, as they come from a projection, this takes half of the time of a depthwise conv1d on a
    CPU, which wants the time last.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        length = x.shape[1] - len(w) + 1
        y = torch.addcmul(bias, x[:, :length], w[0])
        for k in range(1, len(w)):
            y.addcmul_(x[:, k : k + length], w[k])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, w = ctx.saved_tensors
        length = dy.shape[1]
        dx, dw = torch.zeros_like(x), torch.empty_like(w)
        for k in range(len(w)):
            dx[:, k : k + length].addcmul_(dy, w[k])
            dw[k] = (dy * x[:, k : k + length]).sum(dim=(0, 1))
        return dx, dw, dy.sum(dim=(0, 1))


def inverse_softplus_of_steps(count: int, smallest: float = 1e-3, largest: float = 0.1) -> Tensor:
    """A bias for each of `count` step sizes, so that they start spread evenly in their logarithm."""
    dt = torch.exp(torch.rand(count) * (math.log(largest) - math.log(smallest)) + math.log(smallest))
    return dt + torch.log(-torch.expm1(-dt))
