"""Tokens in, logits out. Models know no task."""

from lookahead.models.transformer import Transformer

__all__ = ["Transformer"]
