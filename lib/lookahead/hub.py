"""Models and tokenizers that others have trained: from a folder, or from their hub, by `transformers`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lookahead.errors import LookaheadError, shown

FILES = {
    "model": "config.json and model.safetensors",
    "tokenizer": "tokenizer.json and tokenizer_config.json",
}
"""What a folder holds, by what is asked for."""
LOADERS = {"model": "AutoModelForCausalLM", "tokenizer": "AutoTokenizer"}


def from_hub(what: str, source: str, revision: str = "main", **options: Any) -> Any:
    """A "model" or a "tokenizer" by `from_pretrained` of transformers, which is imported here.

    Args:
        source: a folder, or a name on the hub.
        revision: a branch, tag or commit of the hub's; of no meaning for a folder.
        options: of `from_pretrained`.

    Raises:
        LookaheadError: no transformers, no such folder, nothing in it that can be read, or a hub that cannot be
            reached; the message says how to name a folder instead.
    """
    try:
        import transformers
    except ImportError as error:
        raise LookaheadError(
            f"a pretrained {what} needs the package transformers: pip install 'transformers>=5,<6' ({error})"
        ) from error
    folder = Path(source).expanduser()
    local = folder.is_dir()
    if not local and (source.startswith((".", "/", "~")) or os.sep in source.rstrip("/").partition("/")[2]):
        raise LookaheadError(f"there is no folder {shown(source)}: it should hold {FILES[what]}")
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        load = getattr(transformers, LOADERS[what]).from_pretrained
        return load(str(folder) if local else source, revision=revision, local_files_only=local, **options)
    except Exception as error:  # transformers and the hub's client have many
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if local:
            raise LookaheadError(
                f"{source} holds no {what} that transformers can read: it should hold {FILES[what]} ({said})"
            ) from error
        raise LookaheadError(
            f"the {what} {shown(source)}, revision {shown(revision)}, did not come from the hub ({said}). Without a "
            f"connection name a local folder as source, one that holds {FILES[what]}, as save_pretrained writes them"
        ) from error
    finally:
        if bars:
            transformers.utils.logging.enable_progress_bar()
