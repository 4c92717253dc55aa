"""Installs mamba-ssm for the GPU that is there: `make gpu`, or `python tools/install_mamba_ssm.py`.

mamba-ssm comes as source. As it is, its setup.py compiles for every architecture that the compiler knows, which
takes about nine times as long; here the list is replaced by the one that is needed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lookahead.errors import LookaheadError

AFTER_THE_LIST = re.compile(r"^(?P<indent>[ ]*)(?=if HIP_BUILD:\s+extra_compile_args)", re.M)
"""Where setup.py has its list of architectures, `cc_flag`, complete, and is about to use it."""
BUILD = {"MAMBA_FORCE_BUILD": "TRUE"}
"""Compile; do not look for a ready-made wheel that may be another torch's."""
LOOK_ONLY = {"MAMBA_FORCE_BUILD": "TRUE", "MAMBA_SKIP_CUDA_BUILD": "TRUE"}
"""For pip to read the name and version without compiling."""


def one_architecture(setup: str, capability: tuple[int, int]) -> str:
    """The text of mamba-ssm's setup.py with one architecture instead of all.

    Args:
        capability: of the GPU, such as (9, 0).

    Raises:
        LookaheadError: the text names no architectures in the way that is known.
    """
    number = "".join(map(str, capability))
    flags = f'cc_flag = ["-gencode", "arch=compute_{number},code=sm_{number}"]'
    setup, found = AFTER_THE_LIST.subn(rf"\g<indent>{flags}\n\g<indent>", setup)
    if found != 1:
        raise LookaheadError(
            "this mamba-ssm's setup.py names its architectures in another way: take the version in "
            "requirements-gpu.txt, or install it by hand with pip install --no-build-isolation"
        )
    return setup


def capability() -> tuple[int, int]:
    """The GPU's compute capability.

    Raises:
        LookaheadError: no GPU, a torch without CUDA, or no compiler.
    """
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    if torch.version.cuda is None:
        raise LookaheadError(
            f"torch {torch.__version__} is built without CUDA, and mamba-ssm's kernels are CUDA's: on a machine with "
            "a GPU install torch from PyPI first (its index for CPUs is for machines without). Nothing was changed; "
            "Mamba runs here by PyTorch's own operations"
        )
    if not torch.cuda.is_available():
        raise LookaheadError(f"torch {torch.__version__} finds no GPU: mamba-ssm is compiled for the one that is there")
    if CUDA_HOME is None:
        raise LookaheadError(
            f"no CUDA compiler (nvcc): install CUDA {torch.version.cuda}'s toolkit, or set CUDA_HOME to where it is"
        )
    return torch.cuda.get_device_capability()


def pinned(lines: Iterable[str]) -> tuple[str, list[str]]:
    """mamba-ssm's line of requirements-gpu.txt, and the others."""
    wanted = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    (mamba,) = (line for line in wanted if line.startswith("mamba-ssm=="))
    return mamba, [line for line in wanted if line != mamba]


def install(requirements: Path) -> None:
    """Installs what requirements-gpu.txt lists into the environment that runs this; mamba-ssm for one architecture.

    Raises:
        LookaheadError: it cannot be installed on this machine.
    """
    architecture = capability()
    mamba, others = pinned(requirements.read_text(encoding="utf-8").splitlines())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _call([*pip, "install", *others], {})
    with tempfile.TemporaryDirectory() as folder:
        source = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--no-cache-dir"]
        _call([*pip, "download", *source, "--dest", folder, mamba], LOOK_ONLY)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        (setup,) = Path(folder).glob("*/setup.py")
        setup.write_text(one_architecture(setup.read_text(encoding="utf-8"), architecture), encoding="utf-8")
        _call([*pip, "install", "--no-deps", "--no-build-isolation", "--no-cache-dir", str(setup.parent)], BUILD)


def _call(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env={**os.environ, **environment}, check=False)
    if done.returncode:
        raise LookaheadError(f"this failed, and its output above says why: {' '.join(command)}")


def main() -> int:
    """The command. Returns the exit status."""
    try:
        install(Path("requirements-gpu.txt"))
    except LookaheadError as error:
        print(f"make gpu: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
