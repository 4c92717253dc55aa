"""The same network in transformers: GPT-2 of the same sizes with the same weights."""

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from lookahead.models import Transformer


def gpt2_twin(model: Transformer, **changes: object) -> GPT2LMHeadModel:
    """GPT-2 that computes the same function: no dropout, tanh gelu, sdpa.

    Args:
        changes: configuration that differs, for GPT-2 with its defaults.
    """
    sizes = {"n_positions": model.longest, "n_embd": model.width, "n_layer": len(model.blocks), "n_head": model.heads}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    no_marks = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    kinds = {"activation_function": "gelu_new", "attn_implementation": "sdpa"}
    twin = GPT2LMHeadModel(
        GPT2Config(vocab_size=model.vocab_size, **{**sizes, **no_dropout, **no_marks, **kinds, **changes})
    ).to(model.token_embedding.weight.dtype)
    pairs: list[tuple[nn.Module, nn.Module]] = [(twin.transformer.ln_f, model.final_norm)]
    for theirs, ours in zip(twin.transformer.h, model.blocks, strict=True):
        pairs += [
            (theirs.ln_1, ours.attention_norm),
            (theirs.attn.c_attn, ours.attention.query_key_value),
            (theirs.attn.c_proj, ours.attention.out),
            (theirs.ln_2, ours.mlp_norm),
            (theirs.mlp.c_fc, ours.mlp_in),
            (theirs.mlp.c_proj, ours.mlp_out),
        ]
    with torch.no_grad():
        twin.transformer.wte.weight.copy_(model.token_embedding.weight)
        twin.transformer.wpe.weight[: model.longest].copy_(model.position_embedding.weight)
        for theirs, ours in pairs:
            weight: Tensor = ours.weight  # type: ignore[assignment]
            theirs.weight.copy_(weight.T if isinstance(ours, nn.Linear) else weight)  # type: ignore[union-attr]
            theirs.bias.copy_(ours.bias)  # type: ignore[union-attr, arg-type]
    return twin
