"""How many unpaid seats one e-mail and one address may keep from others: pure.

Seats that were given back, or ran out unpaid, count on for a pause; else whoever holds and
releases in turns keeps seats from everybody for as long as they like.

A guest proves no e-mail: guests of one e-mail share a limit, with its account. An account is
limited by what it holds itself, and by what guests of its e-mail hold from the network address that
it buys from: that is its owner, first as a guest. What they hold from elsewhere does not count, so
that no stranger who types its e-mail can keep its owner from buying.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import NamedTuple
from uuid import UUID

from cinesync.booking.model import (
    AddressHoldsTooMany,
    GivenBackTooMany,
    GuestHoldsAlready,
    HoldSeats,
    Terms,
    TooManyHeld,
)

# That hold seats for one address in the same moment, and stay within its limits all the same.
PROCESSES = 4


class HeldSeats(NamedTuple):
    """Seats that somebody keeps: a row for each customer of an e-mail and address, with
    `email_key`, and one for each show of an address, without.

    `live` seats are held now; `counted` ones are these and those that count on for the pause.
    `ends_at` is when the first of them ends or ended.
    """

    email_key: UUID | None
    customer_id: UUID | None
    address_key: UUID | None
    show_id: UUID | None
    live: int
    counted: int
    ends_at: datetime


class _Kept(NamedTuple):
    """What one of them keeps; `ends_at` as in the rows, None when all is of this very batch."""

    live: int
    ended: int
    ends_at: datetime | None

    def without(self, part: "_Kept") -> "_Kept":
        return _Kept(self.live - part.live, self.ended - part.ended, self.ends_at)

    def with_more(self, more: "_Kept") -> "_Kept":
        ends = [one.ends_at for one in (self, more) if one.ends_at is not None]
        return _Kept(self.live + more.live, self.ended + more.ended, min(ends) if ends else None)


class _Counts:
    """Seats by whoever keeps them. What ended unpaid only the database tells, and seldom."""

    def __init__(self) -> None:
        self.live: defaultdict[object, int] = defaultdict(int)
        self.ended: dict[object, int] = {}
        self.ends_at: dict[object, datetime] = {}

    def read(self, key: object, row: HeldSeats) -> None:
        self.live[key] += row.live
        self.ended[key] = self.ended.get(key, 0) + row.counted - row.live
        self.ends_at[key] = min(row.ends_at, self.ends_at.get(key, row.ends_at))

    def of(self, key: object) -> _Kept:
        return _Kept(self.live.get(key, 0), self.ended.get(key, 0), self.ends_at.get(key))


class HeldLimits:
    """What was held when a batch began, and what the batch added."""

    def __init__(self, terms: Terms, rows: Iterable[HeldSeats] = ()) -> None:
        self._terms = terms
        self._customers = _Counts()
        self._emails = _Counts()
        self._emails_here = _Counts()  # by e-mail and address
        self._customers_here = _Counts()  # by customer and address
        self._addresses = _Counts()
        self._shows = _Counts()  # by address and show
        for row in rows:
            if row.email_key is None:
                self._addresses.read(row.address_key, row)
                self._shows.read((row.address_key, row.show_id), row)
            else:
                self._customers.read(row.customer_id, row)
                self._emails.read(row.email_key, row)
                self._emails_here.read((row.email_key, row.address_key), row)
                self._customers_here.read((row.customer_id, row.address_key), row)

    def add(self, hold: HoldSeats, seat_count: int) -> None:
        """The batch gave these away."""
        self._customers.live[hold.customer_id] += seat_count
        self._emails.live[hold.email_key] += seat_count
        self._emails_here.live[hold.email_key, hold.address_key] += seat_count
        self._customers_here.live[hold.customer_id, hold.address_key] += seat_count
        if hold.address_key is not None:
            self._addresses.live[hold.address_key] += seat_count
            self._shows.live[hold.address_key, hold.show_id] += seat_count

    def check(self, hold: HoldSeats, seat_count: int, now: datetime) -> None:
        """Raises GuestHoldsAlready, TooManyHeld, GivenBackTooMany, AddressHoldsTooMany."""
        if hold.is_guest and self._customers.live.get(hold.customer_id):
            raise GuestHoldsAlready
        self.check_more(hold, seat_count, now)

    def check_more(self, hold: HoldSeats, seat_count: int, now: datetime) -> None:
        """Whether `hold` may have so many more. Raises as `check` does."""
        terms = self._terms
        if hold.is_guest:
            self._check_customer(self._emails.of(hold.email_key), seat_count, now)
        elif hold.is_staff:
            own = self._customers.of(hold.customer_id)
            self._check_live(own, seat_count, terms.staff_seats_max)
        else:
            self._check_customer(self._of_account(hold), seat_count, now)
        address = hold.address_key
        if address is not None:
            of_show = (address, hold.show_id)
            self._check_address(
                self._shows.of(of_show), seat_count, terms.address_show_seats_max, now
            )
            self._check_address(
                self._addresses.of(address), seat_count, terms.address_seats_max, now
            )

    def _of_account(self, hold: HoldSeats) -> _Kept:
        """What it holds anywhere, and what guests of its e-mail hold from its address."""
        own = self._customers.of(hold.customer_id)
        if hold.address_key is None:
            return own
        here = self._emails_here.of((hold.email_key, hold.address_key))
        own_here = self._customers_here.of((hold.customer_id, hold.address_key))
        return own.with_more(here.without(own_here))

    def _check_live(self, kept: _Kept, seat_count: int, most: int) -> None:
        if kept.live + seat_count > most:
            raise TooManyHeld(
                f"You hold {kept.live} seats, and {most} are the most at once. Pay for them or"
                " give some back first.",
                seats_held=kept.live,
                seats_max=most,
            )

    def _check_customer(self, kept: _Kept, seat_count: int, now: datetime) -> None:
        most = self._terms.held_seats_max
        self._check_live(kept, seat_count, most)
        held = kept.live + kept.ended
        if kept.ended and held + seat_count > most:
            seconds = self._seconds_until_fewer(kept, now)
            raise GivenBackTooMany(
                f"You gave back {kept.ended} seats a short while ago. Please choose again in"
                f" {_minutes(seconds)}.",
                seats_held=held,
                seats_max=most,
                retry_after_seconds=seconds,
            )

    def _check_address(self, kept: _Kept, seat_count: int, most: int, now: datetime) -> None:
        held = kept.live + kept.ended
        if held + seat_count > most:
            seconds = self._seconds_until_fewer(kept, now)
            raise AddressHoldsTooMany(
                f"From your network, {held} seats are held and not paid for, and {most} are the"
                f" most. Pay for some, or try again in {_minutes(seconds)}; the box office can"
                " help a large group at once.",
                seats_held=held,
                seats_max=most,
                retry_after_seconds=seconds,
            )

    def _seconds_until_fewer(self, kept: _Kept, now: datetime) -> int:
        """Until the first of them no longer counts, if nobody pays for it before."""
        if kept.ends_at is None:
            return self._terms.hold_seconds + self._terms.release_pause_seconds
        left = (kept.ends_at - now).total_seconds() + self._terms.release_pause_seconds
        return max(ceil(left), 1)


def is_near(holds: Sequence[HoldSeats], kept: Mapping[UUID | None, int], terms: Terms) -> bool:
    """Whether one of these may come near a limit, so that what is held must be read in the
    transaction that holds more: only there two processes cannot both believe the same count.
    `kept` are the seats that count already, by address, and under None those of all e-mails.

    Far from every limit nothing of it matters, and it is summed up before the transaction, because
    what one reads of an index is locked by the page: processes would abort each other whoever
    their customers are. Four of them at once then stay within a limit by address, and two within
    one by e-mail.
    """
    if len({hold.email_key for hold in holds}) < len(holds) or kept.get(None):
        return True
    # By address alone: to tell its shows apart as well would cost every hold more than it spares.
    far = min(terms.address_seats_max, terms.address_show_seats_max) // PROCESSES
    after = defaultdict(int, kept)
    for hold in holds:
        if hold.address_key is not None:
            after[hold.address_key] += len(hold.seats) or hold.best
    return max(after.values(), default=0) > far


def _minutes(seconds: int) -> str:
    minutes = ceil(seconds / 60)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
