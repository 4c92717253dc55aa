"""What the chapters claim of their live trainings does not hang on the one seed that is shown.

Takes some minutes a seed: `make test-long`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from bookmaker.execution import environment
from bookmaker.notebooks import LIVE, code_cells, listed, read, tags

ROOT = Path(__file__).parents[2]
LIVE_CHAPTERS = [chapter for chapter in listed(ROOT) if any(LIVE in tags(cell) for cell in code_cells(read(chapter)))]


def shown(notebook: Path) -> list[str]:
    """The plain text of all that its cells showed."""
    outputs = [output for cell in code_cells(read(notebook)) for output in cell.outputs]
    return [output.data.get("text/plain", "") for output in outputs if "data" in output]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("chapter", LIVE_CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_claim_holds_with_another_seed(chapter: Path, seed: int, tmp_path: Path) -> None:
    """With a parameter that is not the default, claims report instead of raising."""
    copy = tmp_path / chapter.name
    command = [sys.executable, "-m", "papermill", chapter, copy, "--cwd", chapter.parent, "--no-progress-bar"]
    done = subprocess.run(
        [*map(str, command), "-p", "seed", str(seed)],
        env=environment(tmp_path / "journal"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    texts = shown(copy)
    assert [text for text in texts if text.startswith("does not hold")] == []
    assert any(text.startswith("holds: ") for text in texts)


def test_there_are_live_chapters() -> None:
    assert len(LIVE_CHAPTERS) >= 3
