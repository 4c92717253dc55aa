"""A function on the GPU, recorded once and replayed: a step is then one call, and the GPU never waits for Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before the recording: what is compiled, or allocated once, must be there by then."""


class Captured:
    """Calls `function` as it is three times, then records it in a CUDA graph, and replays that.

    Args:
        function: tensors of the same shapes at every call -> a tensor. It may change other tensors in place; what it
            allocates it must not keep, and it must never wait for the device.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.forget()

    def forget(self) -> None:
        """Starts over, because the function does something else from now on."""
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: tuple[Tensor, ...] = ()
        self.output: Tensor | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        self.calls += 1
        if self.calls <= WARM_UP:
            return self.aside(*inputs)
        if self.graph is None:
            self.inputs = tuple(value.clone() for value in inputs)
            self.record()
        assert self.graph is not None
        assert self.output is not None
        for held, value in zip(self.inputs, inputs, strict=True):
            held.copy_(value, non_blocking=True)
        self.graph.replay()
        return self.output.clone()  # the next replay writes over it

    def record(self) -> None:
        """Records what `function` does with the held inputs; nothing is computed yet."""
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = self.function(*self.inputs)

    def aside(self, *inputs: Tensor) -> Tensor:
        """One call as it is, on a stream of its own, as recording asks for.

        An optimiser that can be captured may warn that it is not; it will be.
        """
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            output = self.function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return output
