"""Tokens in, logits out. Models know no task."""

from lookahead.models.mamba import Mamba, Mamba2
from lookahead.models.transformer import Transformer

__all__ = ["Mamba", "Mamba2", "Transformer"]
