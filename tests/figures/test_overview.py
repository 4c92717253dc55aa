"""The committed picture of the front page is the one that today's results give."""

from pathlib import Path

from draw_overview import overview

PICTURE = Path(__file__).parents[2] / "book" / "static" / "overview.svg"


def test_the_front_page_shows_what_the_results_give() -> None:
    """On a wide screen and on a small one."""
    committed = tuple(
        place.read_text(encoding="utf-8") for place in (PICTURE, PICTURE.parent / "narrow" / PICTURE.name)
    )
    assert committed == overview(), "draw it again: make book/static/overview.svg"
