"""Two people at once, and rows that a database refuses for another reason."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert

from csflow.errors import CsflowError, RefusedError, StoreError
from csflow.services.acting import acting
from csflow.store import tables as t


def at_once(first, second):
    """Both acts, the second begun while the first has written and not committed; what each of them raised."""
    raised = {}

    def run(name, act):
        try:
            act()
        except CsflowError as error:
            raised[name] = error

    thread = threading.Thread(target=run, args=("second", second))
    run("first", lambda: first(thread.start))
    thread.join(20)
    return raised


def customer_written(hand, go):
    """A customer is written, then somebody else goes ahead, and only then this is committed."""
    with acting(hand.store, hand.definition, hand.act()) as work:
        work.connection.execute(insert(t.customer).values(key="C-1", happened=0))
        go()
        threading.Event().wait(0.7)


def test_a_customer_that_two_people_enter_at_once_is_refused_to_the_second(hand):
    hand.customer("C-0")
    raised = at_once(lambda go: customer_written(hand, go), lambda: hand.customer("C-1"))
    assert list(raised) == ["second"]
    assert type(raised["second"]) is RefusedError
    told = str(raised["second"])  # SQLite lets the second look only when the first is done
    assert "somebody else did the same at this moment" in told or "is there already" in told


def written_twice(hand, table, row):
    with acting(hand.store, hand.definition, hand.act()) as work:
        for _ in range(2):
            work.connection.execute(insert(table).values(**row))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (t.timer, {"case": 1, "place": "do.0", "run": 0, "at": 5}),
        (t.milestone, {"case": 1, "stay": 1, "name": "met", "at": 5}),
        (t.customer, {"key": "C-1"}),  # not two of one key, but no `happened`
        (t.contact, {"key": "P-1", "customer": 999, "happened": 0}),  # of nobody
    ],
)
def test_a_row_that_is_refused_for_another_reason_is_told_as_a_mistake_of_ours(hand, table, row):
    before = hand.snapshot()
    with pytest.raises(StoreError) as caught:
        written_twice(hand, table, row)
    told = str(caught.value)
    assert told.startswith("nothing was written: the database refuses it (")
    assert told.endswith("). This is a bug of csflow")
    assert (caught.value.exit_code, "\n" in told) == (6, False)
    assert table.name in told or "FOREIGN KEY" in told  # of which SQLite says no more
    assert hand.snapshot() == before
