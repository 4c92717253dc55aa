"""Tiny random checkpoints and tokenizers in the formats in which GPT-2 and Pythia come."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "gpt_neox": {
        "max_position_embeddings": 64,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25},
    },
}
"""Of GPT-2, with dropout as it comes, and of Pythia, whose output matrix is another than that of the tokens."""


@cache
def stored(kind: str, vocab_size: int = 24) -> str:
    """The path of a folder with a checkpoint of that kind, which lies there for as long as the tests run."""
    folder = Path(_folder().name) / f"{kind}-{vocab_size}"
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=vocab_size, bos_token_id=0, eos_token_id=0, **SIZES[kind]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():  # so that the biases and the gains count, too
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
        model.save_pretrained(folder)
    return str(folder)


@cache
def _folder() -> Any:
    return tempfile.TemporaryDirectory(prefix="lookahead-tests-")


@cache
def tokenizer(words: int = 60, pre_tokenized: bool = True) -> str:
    """The path of a folder with a byte-level BPE as GPT-2's, which has so many words as one token, and few numbers.

    Args:
        pre_tokenized: texts are cut at blanks and signs before anything is merged.
    """
    folder = Path(_folder().name) / f"tokenizer-{words}-{pre_tokenized}"
    cutter = tokenizers.Tokenizer(tokenizers.models.BPE())
    if pre_tokenized:
        cutter.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    cutter.decoder = tokenizers.decoders.ByteLevel()
    syllables = [f"{a}{b}" for a in "bdfglmnprst" for b in "aeiou"]
    some = [f" {one}{other}" for one, other in zip(syllables * 2, syllables[7:] * 3, strict=False)][:words]
    numbers = [f" {number}" for number in range(13)]  # from 13 on two tokens each
    texts = ["".join([*some, *numbers, "|", "/", "="])] * 50 + ["| a b| c d"] * 300 * (not pre_tokenized)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=40,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    cutter.train_from_iterator(texts, trainer)
    whole = transformers.PreTrainedTokenizerFast(tokenizer_object=cutter, eos_token="<|endoftext|>")
    whole.save_pretrained(folder)
    return str(folder)
