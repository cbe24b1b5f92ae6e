"""The twenty wrong projects of the agreed draft: each is refused where and how EXPECTED.txt says."""

from __future__ import annotations

from pathlib import Path

import pytest

from csflow.errors import DefinitionError
from csflow.flow.loader import Surroundings, load
from csflow.store.catalogue import CATALOGUE

LANGUAGE = Path(__file__).parents[2] / ".." / "shared" / "language"
EXPECTED = LANGUAGE / "wrong" / "EXPECTED.txt"

pytestmark = pytest.mark.skipif(not EXPECTED.exists(), reason="the agreed drafts (../shared/language) are not here")


def expectations() -> list[str]:
    return EXPECTED.read_text("utf-8").splitlines() if EXPECTED.exists() else []


@pytest.mark.parametrize("line", expectations())
def test_the_wrong_project_is_refused_at_this_place_with_this_message(line: str) -> None:
    folder = LANGUAGE.resolve() / "wrong" / line.split("/")[1]
    with pytest.raises(DefinitionError) as caught:
        load(folder, Surroundings(CATALOGUE))
    errors = [str(problem) for problem in caught.value.problems if not problem.warning]
    assert any(error.endswith(line) for error in errors), "\n".join(errors)


@pytest.mark.parametrize("name", sorted({line.split("/")[1] for line in expectations()}))
def test_nothing_is_said_of_files_that_are_right(name: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        load(LANGUAGE.resolve() / "wrong" / name, Surroundings(CATALOGUE))
    errors = [problem for problem in caught.value.problems if not problem.warning]
    assert {Path(problem.file).name for problem in errors} == {"wrong.yaml"}


@pytest.mark.parametrize("pack", ["standard", "clinic"])
def test_the_drafts_themselves_load_without_an_error(pack: str) -> None:
    loaded = load(LANGUAGE.resolve() / pack, Surroundings(CATALOGUE))
    assert loaded.definition.name == pack
    assert all(problem.warning for problem in loaded.problems)
