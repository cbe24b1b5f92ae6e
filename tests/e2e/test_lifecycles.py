"""Three lifecycles that are not shipped, written from the language's reference, by YAML alone; expectations by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import running
from sqlalchemy import text

HERE = Path(__file__).parent


class Story:
    """A project and its database; each day brings files and ends with a pass."""

    def __init__(self, name: str, folder: Path, url: str) -> None:
        shutil.copytree(HERE / "lifecycles" / name, folder / "project")
        self.folder = folder
        self.at = running.Running(folder / "project", url)

    def day(self, on: str, **files: str) -> list[str]:
        """What was opened, moved and missed on that day, subject by subject."""
        for kind in sorted(files, key=["customers", "contracts", "contacts", "usage", "activities", "triggers"].index):
            path = self.folder / f"{kind}.csv"
            path.write_text(files[kind].strip().replace(" ", "") + "\n", encoding="utf-8")
            summary = self.at.bring(kind, path, on)
            assert summary.rejected == 0, (summary.reasons, path)
        measured = self.at.measure(on)
        assert not measured.failed
        outcome = self.at.advance(on)
        assert not outcome.failed, outcome.failed
        again = self.at.advance(on)
        assert not again.entries.get("moved")
        assert not again.entries.get("opened")
        said = [f"{entry['case']} opened" for entry in outcome.entries.get("opened", [])]
        said += [f"{entry['case']} {entry['from']} > {entry['to']}" for entry in outcome.entries.get("moved", [])]
        said += [f"{e['case']} missed {e['deadline']}" for e in outcome.entries.get("missed", [])]
        return sorted(said, key=lambda line: line.split("/")[1])  # subject by subject

    def rows(self, statement: str) -> list[tuple]:
        with self.at.store.reading() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture
def story(database: str, tmp_path: Path):
    made: list[Story] = []

    def make(name: str) -> Story:
        made.append(Story(name, tmp_path, database))
        return made[0]

    yield make
    for one in made:
        one.at.close()


def end_of(story: Story, on: str) -> int:
    return story.at.at(on)


def test_two_stages_with_contacts_as_subjects(story) -> None:
    s = story("contacts")
    contacts = "id,customer,name,attitude\nP1,C1,Ann,neutral\nP2,C1,Ben,for\nP3,C2,Cem,"
    assert s.day("2024-01-10", customers="id,name\nC1,One\nC2,Two", contacts=contacts) == [
        "friendship/P1/1 opened", "friendship/P2/1 opened", "friendship/P2/1 cold > warm", "friendship/P3/1 opened",
    ]  # fmt: skip
    assert s.day("2024-02-09") == []  # thirty days after 10 January end with this day
    assert s.day("2024-02-10", contacts="id,customer,name,attitude\nP1,C1,Ann,for\nP2,C1,Ben,against\nP3,C2,Cem,") == [
        "friendship/P1/1 cold > warm", "friendship/P1/1 missed stages.cold", "friendship/P2/1 warm > cold",
        "friendship/P3/1 missed stages.cold",
    ]  # fmt: skip
    tasks = s.rows('select c.key, t.name, t.due from task t join "case" k on k.id = t."case"'
                   " join contact c on c.id = k.subject order by c.key")  # fmt: skip
    assert tasks == [("P1", "invite", end_of(s, "2024-02-12")), ("P3", "invite", end_of(s, "2024-02-12"))]
    assert s.day("2024-03-11") == []  # P2 fell back on 10 February: thirty days end with 11 March
    assert s.day("2024-03-12") == ["friendship/P2/1 missed stages.cold"]


def test_nine_stages_with_two_fall_backs_a_pause_and_a_second_contract(story) -> None:
    s = story("nine")
    contracts = (
        "id,customer,starts_on,ends_on,amount\nK1-1,K1,2024-01-01,2024-06-30,600\nK1-2,K1,2024-07-01,2025-06-30,1200"
    )
    contracts += "\nK2-1,K2,2024-01-01,2024-06-30,600"
    customers = "id,name,signed_on\nK1,One,2024-01-01\nK2,Two,2024-01-01"
    assert s.day("2024-01-02", customers=customers, contracts=contracts) == [
        "lifecycle/K1/1 opened", "lifecycle/K2/1 opened",
    ]  # fmt: skip
    known = "id,name,signed_on,kickoff,beds\nK1,One,2024-01-01,2024-01-05,12\nK2,Two,2024-01-01,2024-01-05,9"
    kick = ["lifecycle/K1/1 signed > kickoff", "lifecycle/K2/1 signed > kickoff"]
    assert s.day("2024-01-05", customers=known) == kick
    assert s.day("2024-01-07") == []
    assert s.day("2024-01-08") == [  # three days have come; K2 has too few beds
        "lifecycle/K1/1 kickoff > setup", "lifecycle/K1/1 setup > training", "lifecycle/K2/1 kickoff > setup",
    ]  # fmt: skip
    assert s.day("2024-01-12", triggers="id,name,customer,at\n1,pause,K1,2024-01-12") == [
        "lifecycle/K1/1 training > paused"
    ]
    assert s.day("2024-01-17", triggers="id,name,customer,at\n2,resume,K1,2024-01-17") == [
        "lifecycle/K1/1 paused > training"
    ]
    assert s.day("2024-01-19") == []  # ten days from the 8th, but five of them stood still
    assert s.day("2024-01-23") == []
    assert s.day("2024-01-24") == ["lifecycle/K1/1 missed stages.training"]
    assert s.rows("select missed from deadline where name = 'stages.training'") == [(end_of(s, "2024-01-23"),)]
    trained = "id,customer,kind,at\n1,K1,training,2024-01-25T10:00:00"
    assert s.day("2024-01-25", activities=trained) == ["lifecycle/K1/1 training > live"]
    first = "id,customer,feature,day,count\n1,K1,f1,2024-01-26,1\n2,K1,f1,2024-01-27,1"
    assert s.day("2024-01-28", usage=first) == ["lifecycle/K1/1 live > growing"]
    assert s.day("2024-03-01") == ["lifecycle/K1/1 growing > live", "lifecycle/K1/1 live > training"]  # both fall-backs
    again = "id,customer,kind,at\n2,K1,training,2024-03-05T10:00:00"
    assert s.day("2024-03-05", activities=again) == ["lifecycle/K1/1 training > live"]
    more = "id,customer,feature,day,count\n3,K1,f1,2024-03-06,1\n4,K1,f1,2024-03-07,1"
    assert s.day("2024-03-08", usage=more) == ["lifecycle/K1/1 live > growing"]
    assert s.day("2024-05-31") == [  # four months after the clock ended with 1 May; K2 is still in setup
        "lifecycle/K1/1 growing > renewing", "lifecycle/K2/1 missed stages.growing",
    ]  # fmt: skip
    summer = "id,customer,feature,day,count\n5,K1,f1,2024-06-20,1\n6,K1,f1,2024-06-21,1"
    assert s.day("2024-07-01", usage=summer) == ["lifecycle/K1/1 renewing > growing"]  # the second contract is in force
    runs = s.rows('select d.run, d.due, d.met, d.missed from deadline d join "case" k on k.id = d."case"'
                  " join customer u on u.id = k.subject"
                  " where u.key = 'K1' and d.name = 'stages.growing' order by 1")  # fmt: skip
    # 1 May and five days of pause. A stage without milestones is through once it was left, be it backwards.
    assert runs[0] == (0, end_of(s, "2024-05-06"), end_of(s, "2024-03-01"), None)
    assert runs[1][:2] == (1, end_of(s, "2024-11-01"))
    assert s.day("2024-07-10") == []
    assert s.day("2024-07-31") == [  # K1 has not been seen for thirty days and was not trained for twenty
        "lifecycle/K1/1 growing > live", "lifecycle/K1/1 live > training", "lifecycle/K2/1 setup > gone",
    ]  # fmt: skip


def test_two_lifecycles_side_by_side_by_segment_and_a_customer_that_changes_segment(story) -> None:
    s = story("segments")
    customers = "id,name,segment,sites\nA,One,single,1\nB,Two,chain,2\nC,Three,single,\nD,Four,,"
    assert s.day("2024-01-01", customers=customers) == [
        "lifecycle/A/1 opened", "thanks/A/1 opened", "lifecycle/A/1 start > steady", "chain_lifecycle/B/1 opened",
        "lifecycle/C/1 opened",
    ]  # fmt: skip
    changed = customers.replace("A,One,single,1", "A,One,chain,6").replace("B,Two,chain,2", "B,Two,chain,5")
    assert s.day("2024-01-05", customers=changed) == [  # a changed field alone moves nobody to the other flow
        "thanks/B/1 opened", "chain_lifecycle/B/1 start > steady",
    ]  # fmt: skip
    word = "id,name,customer,at\n1,became_chain,A,2024-01-08T09:00:00"
    assert s.day("2024-01-08", triggers=word) == [
        "chain_lifecycle/A/1 opened", "lifecycle/A/1 steady > handed_over", "chain_lifecycle/A/1 start > steady",
    ]  # fmt: skip
    assert s.day("2024-01-11") == []
    assert s.day("2024-01-12") == ["lifecycle/C/1 missed stages.start"]  # ten days from the 1st end with the 11th
    ends = s.rows(
        'select k.flow, u.key, k.stage, k.ended from "case" k join customer u on u.id = k.subject order by 1, 2'
    )
    assert ends == [
        ("chain_lifecycle", "A", "steady", None), ("chain_lifecycle", "B", "steady", None),
        ("lifecycle", "A", "handed_over", "neutral"), ("lifecycle", "C", "start", None),
        ("thanks", "A", "open", None), ("thanks", "B", "open", None),
    ]  # fmt: skip
    assert s.day("2024-01-15", triggers="id,name,customer,at\n2,cancel,A,2024-01-14") == [
        "chain_lifecycle/A/1 steady > lost"
    ]
