"""What the README shows is what the library holds."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from lookahead import Run
from lookahead.objectives import Teacherless

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_objective_it_shows_is_the_librarys() -> None:
    shown = next(block for block in blocks("python") if "class Teacherless" in block)
    assert inspect.getsource(Teacherless).strip() in shown


def test_the_call_it_shows_is_a_run() -> None:
    shown = next(block for block in blocks("python") if "lookahead.run(" in block)
    calls = [node for node in ast.walk(ast.parse(shown)) if isinstance(node, ast.Call)]
    call = next(node for node in calls if any(k.arg == "objective" for k in node.keywords))
    fields = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg != "task"}
    Run(task={"name": "path_star", "degree": 2, "path_length": 4, "num_nodes": 10}, **fields)


def test_the_results_it_shows_are_the_stored_ones(capsys: pytest.CaptureFixture[str]) -> None:
    shown = next(block for block in blocks("python") if "lookahead.stored(" in block)
    exec(shown, {})
    assert capsys.readouterr().out.strip() == shown.split("# ")[-1].strip()


def test_every_link_to_a_file_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
