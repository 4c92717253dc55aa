"""The code under study, shown from the library itself."""

import inspect
import textwrap

from IPython.display import Markdown, display


def show_source(*things: object) -> None:
    """Shows functions, methods or classes as they stand in the library."""
    for thing in things:
        code = textwrap.dedent(inspect.getsource(thing))  # type: ignore[arg-type]
        display(Markdown(f"```python\n{code.rstrip()}\n```"))
