"""GPT-2 and Pythia, pretrained by others: their weights and their blocks, as `transformers` has them.

GPT-2 (Radford et al., 2019); Pythia (Biderman et al., 2023), a GPT-NeoX with rotary positions, of which there are
checkpoints of 154 moments of its training: revision "step0" to "step143000".
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lookahead.contracts import Model
from lookahead.errors import LookaheadError
from lookahead.hub import from_hub
from lookahead.kinds import Range
from lookahead.models.transformer import as_mask, is_causal

NO_DROPOUT = {
    "gpt2": ("attn_pdrop", "embd_pdrop", "resid_pdrop"),
    "gpt_neox": ("attention_dropout", "hidden_dropout"),
}
"""The kinds of model that are known, by their `model_type`, and the options of each that would make training random."""


@dataclass
class Read:
    """What the blocks keep of the tokens that were read."""

    cache: Any
    """transformers' own; what it holds is never changed."""
    length: int


class Pretrained(Model, name="pretrained"):
    """A pretrained decoder with the same promises as the others, loaded by `from_pretrained`.

        lookahead.run(task=WrittenStar(...), model="gpt2", learning_rate=1e-5)
        pythia = {"name": "pretrained", "source": "EleutherAI/pythia-160m", "revision": "step1000"}
        local = {"name": "pretrained", "source": "/a/folder/with/gpt2"}

    Ids are those of its tokenizer: `WrittenStar` is the task that speaks them. Of its vocabulary it keeps the first
    `vocab_size` ids; those beyond, such as the reserved ones, get new rows, drawn around the mean of the others with
    their deviation. Dropout is off. Seeds of a run differ in the data, in the new rows and in what an objective adds.

    A batch that a GPU has no memory for is computed in parts, their gradients summed, with every model; checkpointing
    makes room for more, and several GPUs compute it faster (`processes` of `lookahead.run`). Bfloat16 is `precision` of
    a run, with every model, too.

    Args:
        vocab_size: V, ids that it reads and predicts.
        longest: the longest sequence.
        source: its name on the hub, or a folder.
        revision: which of the hub's checkpoints.
        checkpointing: computes the inside of each block anew in the backward pass instead of keeping it.
        lora: the rank of the low-rank changes to the blocks' matrices, by the package peft (Hu et al., 2022). They
            alone are trained then, beside what an objective adds: embeddings stay, the new rows among them. 0: all is.

    Raises:
        LookaheadError: as `hub.from_hub`; another kind of model, one with fewer positions than `longest`, no peft.
    """

    presets: ClassVar = {
        "gpt2": {"source": "openai-community/gpt2"},
        "gpt2-medium": {"source": "openai-community/gpt2-medium"},
        "gpt2-large": {"source": "openai-community/gpt2-large"},
        "gpt2-xl": {"source": "openai-community/gpt2-xl"},
        **{f"pythia-{size}": {"source": f"EleutherAI/pythia-{size}"} for size in ("70m", "160m", "410m", "1b", "1.4b")},
    }
    attentions: ClassVar = ("causal", "full", "masked")
    supplied = Model.supplied | {"whole"}

    def __init__(
        self,
        vocab_size: int,
        longest: int,
        *,
        source: str,
        revision: str = "main",
        checkpointing: bool = False,
        lora: Annotated[int, Range(least=0)] = 0,
        whole: Any = None,
    ) -> None:
        super().__init__()
        checked = self.checked(source=source, revision=revision, checkpointing=checkpointing, lora=lora)
        source, revision, self.checkpointing, lora = checked.values()
        self.vocab_size, self.longest, self.source = vocab_size, longest, source
        if whole is None:
            whole = from_hub("model", source, revision, dtype=torch.float32, attn_implementation="sdpa")
        self.config = whole.config
        if self.kind not in NO_DROPOUT:
            raise LookaheadError(
                f"{source} is a model of the kind {self.kind!r}: known are {' and '.join(NO_DROPOUT)} (Pythia)"
            )
        if self.config.max_position_embeddings < longest:
            raise LookaheadError(
                f"{source} has positions for {self.config.max_position_embeddings} tokens, and sequences are up to "
                f"{longest} long: take a smaller task"
            )
        self.take_apart(whole)
        if lora:
            self.add_lora(lora)

    @property
    def kind(self) -> str:
        """transformers' name of the architecture."""
        return self.config.model_type

    def take_apart(self, whole: Any) -> None:
        """Takes over the parts of a model of transformers."""
        for module in whole.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        for option in NO_DROPOUT[self.kind]:
            setattr(self.config, option, 0.0)
        if self.kind == "gpt2":
            trunk = whole.transformer
            self.position_embedding, self.blocks, self.final_norm = trunk.wpe, trunk.h, trunk.ln_f
        else:
            trunk = whole.gpt_neox
            self.rotary, self.blocks, self.final_norm = trunk.rotary_emb, trunk.layers, trunk.final_layer_norm
            for block in self.blocks:
                block.attention.attention_dropout = 0.0
        self.token_embedding = resized(whole.get_input_embeddings().weight, self.vocab_size)
        self.output_embedding = self.token_embedding
        if not self.config.tie_word_embeddings:
            self.output_embedding = resized(whole.get_output_embeddings().weight, self.vocab_size)
        self.train()

    def add_lora(self, rank: int) -> None:
        """Leaves the weights as they are, and adds low-rank changes to those of all products in the blocks."""
        try:
            import peft  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise LookaheadError(
                f"lora={rank} needs the package peft: pip install peft, or take lora=0 to train all weights ({error})"
            ) from error
        gpt2 = self.kind == "gpt2"
        targets = (
            ["c_attn", "c_proj", "c_fc"] if gpt2 else ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
        )
        options = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, fan_in_fan_out=gpt2)
        peft.inject_adapter_in_model(options, self.blocks)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_("lora_" in name)

    def forward(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        attention: str | Tensor = "causal",
        last: int | None = None,
    ) -> Tensor:
        length = inputs.shape[1]
        if positions is None:
            self.refuse_longer(length)
            positions = torch.arange(length, device=inputs.device)
        mask = None
        if not isinstance(attention, str) or not is_causal(attention):
            mask = as_mask(attention, length, length, inputs.device)
            mask = mask if mask.ndim == 4 else mask[None, None]
        return self.through_blocks(inputs, positions, mask, None, last)

    def refuse_longer(self, length: int) -> None:
        """Raises a LookaheadError if so many tokens are more than it was built for."""
        if length > self.longest:
            raise LookaheadError(f"{length} tokens, but the model was built for at most {self.longest}")

    def through_blocks(
        self, inputs: Tensor, positions: Tensor, mask: Tensor | None, cache: Any, last: int | None
    ) -> Tensor:
        """The residual stream [B, T or last, D] after all blocks, for inputs [B, T] or [B, T, D].

        Args:
            positions: [T] or [B, T].
            mask: bool, broadcast to [B, heads, T, S]; None where every row may see all before it and itself.
            cache: transformers', extended by what the blocks read; None for none.
            last: as in `Model.forward`.
        """
        length = inputs.shape[1]
        if last is not None and not 1 <= last <= length:
            raise LookaheadError(f"the last {last} of {length} positions are asked for: take 1 to {length}")
        x = inputs if inputs.is_floating_point() else self.embed(inputs)
        if self.kind == "gpt2":
            x = x + self.position_embedding(positions)
            options: dict[str, Any] = {"past_key_values": cache}
        else:
            positions = positions if positions.ndim == 2 else positions[None]
            options = {"layer_past": cache, "position_embeddings": self.rotary(x, position_ids=positions)}
        for block in self.blocks:
            if self.checkpointing and cache is None and torch.is_grad_enabled():
                x = checkpoint(
                    block, x, attention_mask=mask, **options, use_reentrant=False, preserve_rng_state=False
                )  # nothing in it is random
            else:
                x = block(x, attention_mask=mask, **options)
        return x if last is None else x[:, -last:]

    def embed(self, tokens: Tensor) -> Tensor:
        return self.token_embedding(tokens)

    def norm(self, hidden: Tensor) -> Tensor:
        return self.final_norm(hidden)

    @property
    def output(self) -> Tensor:
        return self.output_embedding.weight

    def fresh(self, layers: int | None = None, shared: bool = False) -> Pretrained:
        """As `Model.fresh`: of the same kind, not pretrained. Sharing is of both embeddings where they are two."""
        import transformers

        config = copy.deepcopy(self.config)
        config.num_hidden_layers = len(self.blocks) if layers is None else layers
        whole = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
        other = Pretrained(
            self.vocab_size, self.longest, source=self.source, checkpointing=self.checkpointing, whole=whole
        )
        if shared:  # the parameters: `functional_call` takes a module in two places for two
            other.token_embedding.weight = self.token_embedding.weight
            other.output_embedding.weight = self.output_embedding.weight
        return other

    def decode(self, tokens: Tensor, cache: Read | None = None, last: int | None = None) -> tuple[Tensor, Read]:
        if cache is None:
            from transformers import DynamicCache

            cache = Read(DynamicCache(), 0)
        start, rows = cache.length, tokens.shape[1]
        self.refuse_longer(start + rows)
        longer = copy.copy(cache.cache)  # to extend it is to give it other tensors, so what it was copied from stays
        longer.layers = [copy.copy(layer) for layer in cache.cache.layers]
        positions = torch.arange(start, start + rows, device=tokens.device)
        mask = None
        if start and rows > 1:
            mask = as_mask("causal", rows, start + rows, tokens.device)[None, None]
        return self.through_blocks(tokens, positions, mask, longer, last), Read(longer, start + rows)

    @torch.no_grad()
    def attention_maps(self, tokens: Tensor) -> Tensor:
        """Attention weights [layers, B, heads, T, T], row looks at column."""
        length, maps = tokens.shape[1], []
        allowed = as_mask("causal", length, length, tokens.device)
        mask = torch.zeros_like(allowed, dtype=self.output.dtype).masked_fill(~allowed, -torch.inf)
        attentions = [block.attn if self.kind == "gpt2" else block.attention for block in self.blocks]
        hooks = [one.register_forward_hook(lambda _, inputs, found: maps.append(found[1])) for one in attentions]
        try:
            with self.attending_by("eager"):
                self.through_blocks(tokens, torch.arange(length, device=tokens.device), mask[None, None], None, None)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(maps)

    @contextmanager
    def attending_by(self, implementation: str) -> Iterator[None]:
        """Computes attention in another of transformers' ways, inside."""
        before = self.config._attn_implementation
        self.config._attn_implementation = implementation
        try:
            yield
        finally:
            self.config._attn_implementation = before


@torch.no_grad()
def resized(rows: Tensor, count: int) -> nn.Embedding:
    """The first `count` rows of an embedding [V, D]; those that it has not are drawn around the mean of all."""
    resized = nn.Embedding(count, rows.shape[1])
    resized.weight.normal_().mul_(rows.std(dim=0)).add_(rows.mean(dim=0))
    kept = min(count, len(rows))
    resized.weight[:kept] = rows[:kept]
    return resized
