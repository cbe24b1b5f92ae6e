"""What an import works out about contracts: their value in the project's currency, and which one renews which."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, bindparam, case, func, or_, select, update

from csflow.errors import StoreError
from csflow.store.importing_former import keep_rows
from csflow.store.tables import contact, contract, rate
from csflow.store.touching import touch
from csflow.values import minor_digits

if TYPE_CHECKING:
    from csflow.store.importing_staging import Counts, Staging, Terms


def value_contracts(staging: Staging, terms: Terms) -> None:
    """Give the chunk's contracts their value; after an import of rates, those that had none for want of a rate.

    The rate is the newest on or before the day the contract happened, and stays: a correction moves no past value.
    """
    own = or_(contract.c.currency.is_(None), contract.c.currency == terms.currency)
    connection = staging.connection
    if staging.kind.name == "rate":
        chosen = and_(
            contract.c.value.is_(None),
            contract.c.amount.is_not(None),
            contract.c.currency.in_(select(staging.ready.c.currency).where(staging.fresh_rows)),
        )
    else:
        chosen = _of_fresh(staging)
        staging.execute(update(contract).where(chosen, own).values(value=contract.c.amount))
    filled = _convert(staging, terms.currency, and_(chosen, ~own))
    if staging.kind.name == "rate":
        touch(connection, "customer", filled)


def _of_fresh(staging: Staging) -> ColumnElement[bool]:
    ready = staging.ready
    return contract.c.id.in_(
        select(contract.c.id)
        .join(ready, and_(ready.c.customer == contract.c.customer, ready.c.key == contract.c.key))
        .where(staging.fresh_rows)
    )


def _convert(staging: Staging, currency: str, chosen: ColumnElement[bool]) -> set[int]:
    """Value contracts of other currencies; returns the customers whose value was found."""
    newest = (
        select(rate.c.rate)
        .where(rate.c.currency == contract.c.currency, rate.c.day <= contract.c.happened)
        .order_by(rate.c.day.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = staging.execute(
        select(contract.c.id, contract.c.customer, contract.c.amount, contract.c.currency, newest.label("rate"))
        .where(chosen)
        .order_by(contract.c.id)
    ).all()
    if not rows:
        return set()
    staging.connection.execute(
        update(contract).where(contract.c.id == bindparam("which")).values(value=bindparam("worth")),
        [{"which": row.id, "worth": _worth(row.amount, row.currency, row.rate, currency)} for row in rows],
    )
    return {row.customer for row in rows if row.rate is not None and row.amount is not None}


def _worth(amount: int | None, currency: str, found: float | None, own: str) -> int | None:
    """Minor units of one currency as those of another, half-even."""
    if amount is None or found is None:
        return None
    scale = Decimal(10) ** (minor_digits(own) - minor_digits(currency))
    return int((Decimal(amount) * Decimal(str(found)) * scale).to_integral_value(ROUND_HALF_EVEN))


def infer_replaces(staging: Staging) -> None:
    """Say which contract each one renews, where no source does: the same product's that ended last before it began.

    All contracts of the chunk's customers are looked at again, so the order of rows and files plays no part.
    """
    earlier = contract.alias("earlier")
    before = (
        select(earlier.c.key)
        .where(
            earlier.c.customer == contract.c.customer,
            earlier.c.id != contract.c.id,
            earlier.c.product.is_not_distinct_from(contract.c.product),
            earlier.c.ends <= contract.c.starts_on,
        )
        .order_by(earlier.c.ends.desc(), earlier.c.starts_on.desc(), earlier.c.key.desc())
        .limit(1)
        .correlate(contract)
        .scalar_subquery()
    )
    ready = staging.ready
    customers = select(ready.c.customer).where(staging.fresh_rows)
    staging.execute(
        update(contract)
        .where(
            contract.c.customer.in_(customers),
            or_(contract.c.replaces.is_(None), contract.c.inferred == 1),
            contract.c.replaces.is_distinct_from(before),
        )
        .values(replaces=before, inferred=1)
    )


def close_absent(staging: Staging, terms: Terms, counts: Counts, max_missing: float) -> None:
    """Close what a complete file no longer lists: contacts have left, contracts end with the day before the import's.

    StoreError when more than ``max_missing`` (a share) of what is open would be closed: then the file is not complete.
    """
    connection, table, ready = staging.connection, staging.kind.table, staging.ready
    same = and_(*(ready.c[name] == table.c[name] for name in staging.key))
    is_open = (
        or_(contact.c.left.is_(None), contact.c.left == 0)
        if table is contact
        else or_(contract.c.ends.is_(None), contract.c.ends > terms.day)
    )
    absent = and_(is_open, ~select(ready.c.place).where(same).exists())
    missing = connection.execute(select(func.count()).select_from(table).where(absent)).scalar_one()
    present = connection.execute(select(func.count()).select_from(table).where(is_open)).scalar_one()
    if missing > present * max_missing:
        raise StoreError(
            f"the file lacks {missing} of {present} {staging.kind.name}s that are open, more than max_missing "
            f"({max_missing * 100:g}%): nothing was closed; is the file complete?"
        )
    customers = set(connection.execute(select(table.c.customer).where(absent)).scalars())
    values = (
        {"left": 1, "left_on": terms.day}
        if table is contact
        else {"ends": case((contract.c.starts_on > terms.day, contract.c.starts_on), else_=terms.day)}
    )
    keep_rows(connection, staging.kind, absent, terms.as_of)
    counts.closed = connection.execute(update(table).where(absent).values(values)).rowcount
    touch(connection, "customer", customers)
    if terms.seen_until is None or terms.day > terms.seen_until:
        touch(connection, "customer", customers, day=terms.day)
