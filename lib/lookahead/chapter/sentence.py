"""A chapter's parameters as one sentence of prose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lookahead.names import counted, named

UNSAID = {"profile", "device", "evaluate_every"}
"""Parameters that the sentence leaves to the code."""


def sentence(values: Mapping[str, Any], model: Mapping[str, Any], further: Iterable[str] = ()) -> str:
    """What is trained at these parameters.

    "2 arms of 4 nodes with labels from 10, a Transformer of 3 layers, 240 training steps of 128 graphs, 3 seeds."

    Args:
        values: of parameters by name; what is not among them is not spoken of.
        model: its name and options, as far as they are known.
        further: parameters that are told by name and value, if the sentence has no words for them.
    """
    left = {name: value for name, value in values.items() if name not in UNSAID}
    said = []
    if {"degree", "path_length"} <= left.keys():
        graph = f"{counted(left.pop('degree'), 'arm')} of {counted(left.pop('path_length'), 'node')}"
        said.append(f"{graph} with labels from {left.pop('num_nodes')}" if "num_nodes" in left else graph)
    if left.pop("model", None) or "layers" in left:
        layers = left.pop("layers", model.get("layers"))
        kind = f"a {named(model['name'])}" if "name" in model else "a network"
        said.append(f"{kind} of {counted(layers, 'layer')}")
    if "steps" in left:
        steps = counted(left.pop("steps"), "training step")
        said.append(f"{steps} of {counted(left.pop('batch_size'), 'graph')}" if "batch_size" in left else steps)
    if "optimizer" in left:
        said.append(named(left.pop("optimizer")))
    seed, seeds = left.pop("seed", 0), left.pop("seeds", None)
    said += [f"{named(name)} {left[name]}" for name in further if name in left]
    if seeds is not None:
        said.append(counted(seeds, "seed"))
    if seed:
        said.append(f"the first seed {seed}")
    return ", ".join(said) + "." if said else "Nothing is trained here."
