"""The works that the book cites can be told apart."""

from collections import Counter
from pathlib import Path

from pybtex.database import parse_file

WORKS = parse_file(str(Path(__file__).parents[2] / "book" / "references.bib")).entries


def test_no_two_works_are_cited_alike() -> None:
    """A citation is the authors and the year: works of the same authors and year have a letter after it."""
    cited = Counter(
        (*(" ".join(person.last_names) for person in work.persons["author"]), work.fields["year"])
        for work in WORKS.values()
    )
    assert [alike for alike, count in cited.items() if count > 1] == []
