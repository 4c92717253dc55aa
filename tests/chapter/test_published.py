"""Numbers quoted from papers."""

import json

import pytest

from lookahead.chapter import published
from lookahead.errors import LookaheadError

EXHIBITS = json.loads(published.PUBLISHED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("exhibit", EXHIBITS)
def test_a_table_is_shown_with_its_source(exhibit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(published, "display", shown.append)
    published.table(exhibit)
    (table,) = shown
    assert EXHIBITS[exhibit]["source"].count("20") == 1  # a year
    assert f"Source: {EXHIBITS[exhibit]['source']}; {EXHIBITS[exhibit]['obtained']}." in table.data


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(LookaheadError, match="no published table 'wrong'; there are wrong-arm, main, token-order"):
        published.table("wrong")


def test_some_rows_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(published, "display", shown.append)
    published.table("main", rows="GPT")
    assert "GPT2-Large, reversed" in shown[0].data
    assert "Mamba" not in shown[0].data
    with pytest.raises(LookaheadError, match="no row 'Pythia'; it has GPT-Mini, teacher forcing"):
        published.table("main", rows="Pythia")
