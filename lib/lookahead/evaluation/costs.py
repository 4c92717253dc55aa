"""What a training costs: parameters and floating-point operations, counted."""

from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lookahead.contracts import Objective, Task
from lookahead.machine import device_of


@dataclass(frozen=True)
class Cost:
    """Of an objective and the model in it."""

    parameters: int
    """Numbers that are trained, those that are shared counted once."""
    answering: int
    """Parameters of the model that answers, without what training adds to it."""
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
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    return Cost(trained, sum(p.numel() for p in objective.model.parameters()), counter.get_total_flops() // examples)
