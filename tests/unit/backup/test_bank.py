"""The bank's books, cut at the databases' point."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest

from cinesync.backup import bank
from cinesync.bank.model import ChargeRequest, RefundOrder
from cinesync.bank.store import BankStore, Delays
from cinesync.chassis import clock
from cinesync.proofs.entries import microseconds


class Ours:
    """What the payment service's database knows."""

    def __init__(self, *known: str) -> None:
        self.known = {UUID(one) for one in known}

    async def __call__(self, asked: Sequence[UUID]) -> set[UUID]:
        return self.known & set(asked)


def charge(books: BankStore, token: str = "tok_approve") -> tuple[str, str]:
    """Its reference and its id at the bank."""
    reference = str(clock.new_id())
    (taken,) = books.charge([ChargeRequest(reference, 2400, "EUR", token, "")])
    assert not isinstance(taken, Exception)
    return reference, taken.charge.charge_id


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bank.sqlite"


async def test_what_moved_after_the_point_is_cut_and_nothing_else(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank, "PAGE", 1)
    books = BankStore(file, Delays(late_seconds=0.0))
    strange, strange_charge = charge(books)  # long before, and known to nobody: the audit's
    started_at = microseconds(clock.now()) + 2_000
    while microseconds(clock.now()) < started_at + 2_000:
        pass
    known, known_charge = charge(books)
    after, after_charge = charge(books)
    late, late_charge = charge(books, "tok_late")
    asked, unasked = str(clock.new_id()), str(clock.new_id())
    for refund_id in (asked, unasked):
        books.refund(RefundOrder(refund_id, known_charge, 100))
    books.refund(RefundOrder(str(clock.new_id()), after_charge, 100))
    books.close()
    cut = await bank.cut(file, started_at, Ours(known), Ours(asked))
    assert cut == (2, 1)
    again = BankStore(file, Delays(late_seconds=0.0))
    lines = [(line.kind, line.entry_id) for line in again.statement(0, 100)]
    assert lines == [("capture", strange_charge), ("capture", known_charge), ("refund", asked)]
    assert [len(again.charges(one)) for one in (strange, known, after, late)] == [1, 1, 0, 0]
    assert again.webhooks_of(late_charge) == []
    assert again.process_due() == 0, "the late charge is never captured"
    again.close()
    assert await bank.cut(file, started_at, Ours(known), Ours(asked)) == (0, 0)
