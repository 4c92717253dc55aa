"""What a training costs: parameters and floating-point operations, counted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lookahead.contracts import Objective, Task
from lookahead.machine import device_of


@dataclass(frozen=True)
class Cost:
    """Of an objective and the model in it."""

    parameters: int
    """Numbers that are trained, those that are shared counted once."""
    answering: int
    """Of these, those that are read to answer, without what training alone needs."""
    flops: int
    """Floating-point operations for one example in one training step, forward and backward: two for every
    multiplication and addition in a matrix product or in attention. What works element by element (norms, Mamba's scan)
    is not counted."""


def cost(objective: Objective, task: Task, examples: int = 4) -> Cost:
    """The cost of training an objective, as torch counts it on the task's first examples."""
    prompts, answers = task.sample("train", torch.arange(examples, device=device_of(objective)))
    noise = objective.noise(("cost", 0), torch.arange(examples))
    # fused attention is not counted on every device; as matrix products it is
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective(prompts, answers, noise, torch.tensor(0.0)).total.backward()
    objective.zero_grad(set_to_none=True)
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    with Reads() as reads:
        objective.answer(prompts)
    answering = [parameter for parameter in trained if parameter.data_ptr() in reads.places]
    parameters, read = (sum(parameter.numel() for parameter in some) for some in (trained, answering))
    return Cost(parameters, read, counter.get_total_flops() // examples)


class Reads(TorchDispatchMode):
    """Notes where in memory begins what is read inside."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[int] = set()

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        read = tree_leaves((args, kwargs))
        self.places |= {tensor.data_ptr() for tensor in read if isinstance(tensor, Tensor)}
        return func(*args, **(kwargs or {}))
