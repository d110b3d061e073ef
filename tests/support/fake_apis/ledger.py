"""The fake ledger API: a real chain with real receipts, without consensus."""

import base64
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import Flask, Response, jsonify, request

from cinesync.proofs.entries import FORMAT, LedgerEntry
from cinesync.proofs.headers import BlockHeader
from tests.support.fake_apis.state import Refused, id_of
from tests.support.ledger_chains import START, MemoryChain

BOOKING = id_of("a booking in the ledger")
BLOCK_SIZES = (1, 2, 11, 40, 3)


@dataclass
class FakeLedger:
    """A chain, and switches: `reports` of validators, entries without a receipt, no proofs."""

    chain: MemoryChain = field(default_factory=MemoryChain)
    firsts: list[int] = field(default_factory=list)
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    without_receipt: set[str] = field(default_factory=set)
    waiting: int = 0
    has_no_proofs: bool = False

    def grow(self, *entries: LedgerEntry) -> BlockHeader:
        self.firsts.append(len(self.chain.entries))
        return self.chain.grow(*entries)

    def log_entry(self, index: int) -> dict[str, Any]:
        height = sum(first <= index for first in self.firsts)
        return {"index": index, "height": height, "entry": self.chain.entries[index].to_json()}

    def view(
        self, header: BlockHeader, entries: list[dict[str, Any]], *, whole: bool
    ) -> dict[str, Any]:
        certificate = self.chain.certify(header).to_json() if whole else None
        return {
            "height": header.height,
            "hash": header.hash.hex(),
            "header": header.to_json(),
            "entries": entries,
            "certificate": certificate,
        }

    @property
    def height(self) -> int | None:
        answering = [one for one in self.validators() if one["answers"]]
        return len(self.chain.blocks) if len(answering) > 1 else None

    def validators(self) -> list[dict[str, Any]]:
        height, size = len(self.chain.blocks), len(self.chain.entries)
        common = {
            "epoch": 0, "view": 5, "primary": 1, "active": True, "abstaining": False,
            "height": height, "stable": 0, "pending": 0, "size": size,
        }  # fmt: skip
        reports = (common | {"replica": at} | self.reports.get(at, {}) for at in range(4))
        return [
            {"replica": one["replica"], "answers": False}
            if one["replica"] in self.silent
            else one | {"answers": True}
            for one in reports
        ]


def ledger_entry(number: int, kind: str, booking_id: str = BOOKING) -> LedgerEntry:
    return LedgerEntry(
        format=FORMAT,
        event_id=id_of(f"event {number}"),
        kind=kind,
        time=START + number * 1_000_000,
        booking_id=booking_id,
        facts={"amount_cents": 2500, "currency": "GBP", "seats": ["F7", "Größe F8 \U0001f39f"]},
        commitments={"customer_id": f"{number:064x}"},
    )


def create_ledger() -> FakeLedger:
    """Small blocks, a large one, one in between; the first two entries are of one booking."""
    made, number = FakeLedger(), 0
    for size in BLOCK_SIZES:
        numbers = range(number, number + size)
        made.grow(*(_entry(at) for at in numbers))
        number += size
    made.grow()
    return made


def _entry(number: int) -> LedgerEntry:
    if number < 2:
        return ledger_entry(number, ("payment.success", "booking.confirmed")[number])
    return ledger_entry(number, "payment.success", id_of(f"booking {number}"))


def install(app: Flask, ledger: FakeLedger) -> None:  # noqa: C901 a table of routes
    @app.get("/api/ledger/status")
    def status() -> Response:
        return jsonify(
            chain=ledger.chain.genesis.chain.hex(),
            height=ledger.height,
            waiting=ledger.waiting,
            validators=ledger.validators(),
        )

    @app.get("/api/ledger/genesis")
    def genesis() -> Response:
        return _file(ledger.chain.genesis.encode(), "genesis.json")

    @app.get("/api/ledger/blocks")
    def blocks() -> Response:
        if ledger.height is None:
            raise Refused(503, "Too few validators answer right now.")
        limit = int(request.args.get("limit", 20))
        after = request.args.get("after")
        top = int(base64.b64decode(after)) - 1 if after else len(ledger.chain.blocks)
        first = max(0, top - limit)
        found = ledger.chain.blocks[first:top][::-1]
        following = base64.b64encode(str(first + 1).encode()).decode() if first else None
        views = [ledger.view(one, [], whole=False) for one in found]
        return jsonify(items=views, next=following)

    @app.get("/api/ledger/blocks/<int:height>")
    def block(height: int) -> Response:
        if not 1 <= height <= len(ledger.chain.blocks):
            raise Refused(404, "The chain has no such block yet.")
        header, first = ledger.chain.blocks[height - 1], ledger.firsts[height - 1]
        entries = [ledger.log_entry(at) for at in range(first, header.size)]
        return jsonify(ledger.view(header, entries, whole=True))

    @app.get("/api/ledger/entries")
    def entries() -> Response:
        wanted = request.args["booking_id"]
        found = [at for at, one in enumerate(ledger.chain.entries) if one.booking_id == wanted]
        return jsonify(items=[ledger.log_entry(at) for at in found], next=None)

    @app.get("/api/ledger/proofs/booking/<uuid:booking_id>")
    def completeness(booking_id: UUID) -> Response:
        if ledger.has_no_proofs:
            raise Refused(503, "Too few validators answer right now.")
        data = ledger.chain.completeness(str(booking_id)).encode()
        return _file(data, f"booking-{booking_id}.json")

    @app.get("/api/ledger/receipts/<uuid:event_id>")
    def receipt(event_id: UUID) -> Response:
        if str(event_id) in ledger.without_receipt:
            raise Refused(404, "This event is on its way into the ledger.")
        for at, one in enumerate(ledger.chain.entries):
            if one.event_id == str(event_id):
                data = ledger.chain.receipt(at).encode()
                return _file(data, f"receipt-{event_id}.json")
        raise Refused(404, "There is no receipt for this event.")


def _file(data: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, mimetype="application/json", headers=headers)
