"""Installs mamba-ssm for the GPU that is there: `make gpu`, or `python tools/install_mamba_ssm.py`.

mamba-ssm comes as source. As it is, its setup.py compiles for every architecture that the compiler knows, which
takes about nine times as long; here the list is replaced by the one that is needed.

With `--beside FOLDER`, for `make test-kernels`: its Triton kernels, and Triton, in a folder of their own. That needs
no GPU and compiles nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from lookahead.errors import LookaheadError

AFTER_THE_LIST = re.compile(r"^(?P<indent>[ ]*)(?=if HIP_BUILD:\s+extra_compile_args)", re.M)
"""Where setup.py has its list of architectures, `cc_flag`, complete, and is about to use it."""
COMPILED = {"MAMBA_FORCE_BUILD": "TRUE", "MAMBA_SKIP_CUDA_BUILD": "FALSE"}
"""Compile, whatever is set outside; do not look for a ready-made wheel that may be another torch's."""
NOT_COMPILED = {"MAMBA_FORCE_BUILD": "TRUE", "MAMBA_SKIP_CUDA_BUILD": "TRUE"}
"""What is Python, and the Triton kernels are; enough for pip to read the name and version."""
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
FROM_SOURCE = ["--no-deps", "--no-build-isolation", "--no-cache-dir"]
GPU_REQUIREMENTS, KERNEL_REQUIREMENTS = (
    Path(__file__).parents[1] / f"requirements-{name}.txt" for name in ("gpu", "kernels")
)


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


def pinned() -> tuple[str, list[str]]:
    """mamba-ssm's line of requirements-gpu.txt, and the others."""
    lines = GPU_REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    wanted = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    (mamba,) = (line for line in wanted if line.startswith("mamba-ssm=="))
    return mamba, [line for line in wanted if line != mamba]


def unpacked(mamba: str, folder: Path) -> Path:
    """The source of mamba-ssm, fetched into a folder: where its setup.py lies."""
    _call([*PIP, "download", *FROM_SOURCE, "--no-binary", ":all:", "--dest", str(folder), mamba], NOT_COMPILED)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (setup,) = folder.glob("*/setup.py")
    return setup.parent


def install() -> None:
    """Installs what requirements-gpu.txt lists into the environment that runs this; mamba-ssm for one architecture.

    Raises:
        LookaheadError: it cannot be installed on this machine.
    """
    architecture = capability()
    mamba, others = pinned()
    _call([*PIP, "install", *others], {})
    with tempfile.TemporaryDirectory() as folder:
        source = unpacked(mamba, Path(folder))
        setup = source / "setup.py"
        setup.write_text(one_architecture(setup.read_text(encoding="utf-8"), architecture), encoding="utf-8")
        _call([*PIP, "install", *FROM_SOURCE, str(source)], COMPILED)


def install_beside(folder: Path) -> None:
    """Installs mamba-ssm without its compiled part, and what its Triton kernels need, into a folder of their own.

    The setup.py that it came with lies there, too.

    Raises:
        LookaheadError: something cannot be installed.
    """
    into = [*PIP, "install", "--upgrade", "--target", str(folder)]
    _call([*into, "--no-deps", "-r", str(KERNEL_REQUIREMENTS)], {})
    with tempfile.TemporaryDirectory() as scratch:
        source = unpacked(pinned()[0], Path(scratch))
        _call([*into, *FROM_SOURCE, str(source)], NOT_COMPILED)
        shutil.copy(source / "setup.py", folder)


def _call(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env={**os.environ, **environment}, check=False)
    if done.returncode:
        raise LookaheadError(f"this failed, and its output above says why: {' '.join(command)}")


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Installs mamba-ssm's kernels.")
    parser.add_argument("--beside", type=Path, metavar="FOLDER", help="Triton kernels alone, for a CPU, in this folder")
    beside = parser.parse_args(arguments).beside
    try:
        install() if beside is None else install_beside(beside)
    except LookaheadError as error:
        print(f"make {'gpu' if beside is None else 'test-kernels'}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
