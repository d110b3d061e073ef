"""Limits on unpaid seats, by e-mail and by client address. Pure.

Without a limit, one client could hold every seat of a show and never pay. Three rules apply to a
command that holds seats:

- A guest has one hold at a time, and all guests of one e-mail share `held_seats_max`.
- An account has `held_seats_max` too. Its own holds count, and the holds of guests with its e-mail
  from the same client address: that is its owner, before they signed in. Holds of such guests from
  other addresses do not count; otherwise a stranger could block an account by typing its e-mail.
  Staff sell for many customers: only `staff_seats_max` applies to them.
- One client address has `address_seats_max` over all shows and `address_show_seats_max` per show.

Seats that were released or that expired unpaid keep counting for `release_pause_seconds`. Otherwise
a client could hold and release in turns for ever.

Reading the counts inside the transaction of the hold is exact but expensive: under SERIALIZABLE, an
index read locks whole pages, so that holds of unrelated customers abort each other. Hence two
steps. First `store.sum_held_seats` adds the seats up outside the transaction. If every sum is far
below its limit (`is_near` is false), the transaction reads nothing of it. A sum is far below a
limit if `PROCESSES` processes that each allow it at the same time still stay within the limit. Near
a limit, the transaction reads the exact counts (`store.find_held_seats`), and serializability makes
two concurrent holds see each other.
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

# This many processes may hold seats for one address at the same time without exceeding a limit.
PROCESSES = 4


class HeldSeats(NamedTuple):
    """Unpaid seats: one row for each (e-mail, customer, address), one for each (address, show);
    the latter has no `email_key`.

    `live` seats are held now; `counted` adds those that ended within the pause. `ends_at` is the
    earliest expiry among them.
    """

    email_key: UUID | None
    customer_id: UUID | None
    address_key: UUID | None
    show_id: UUID | None
    live: int
    counted: int
    ends_at: datetime


class _SeatCount(NamedTuple):
    """The unpaid seats under one key; `ends_at` is None if all of them are of this batch."""

    live: int
    ended: int
    ends_at: datetime | None

    def without(self, part: "_SeatCount") -> "_SeatCount":
        return _SeatCount(self.live - part.live, self.ended - part.ended, self.ends_at)

    def plus(self, more: "_SeatCount") -> "_SeatCount":
        ends = [one.ends_at for one in (self, more) if one.ends_at is not None]
        return _SeatCount(
            self.live + more.live, self.ended + more.ended, min(ends) if ends else None
        )


class _SeatCounts:
    """Unpaid seats by key. Only rows from the database have ended ones."""

    def __init__(self) -> None:
        self.live: defaultdict[object, int] = defaultdict(int)
        self.ended: dict[object, int] = {}
        self.ends_at: dict[object, datetime] = {}

    def read(self, key: object, row: HeldSeats) -> None:
        self.live[key] += row.live
        self.ended[key] = self.ended.get(key, 0) + row.counted - row.live
        self.ends_at[key] = min(row.ends_at, self.ends_at.get(key, row.ends_at))

    def of(self, key: object) -> _SeatCount:
        return _SeatCount(self.live.get(key, 0), self.ended.get(key, 0), self.ends_at.get(key))


class HeldLimits:
    """The counts at the start of a batch, and what the batch adds."""

    def __init__(self, terms: Terms, rows: Iterable[HeldSeats] = ()) -> None:
        self._terms = terms
        self._customers = _SeatCounts()
        self._emails = _SeatCounts()
        self._emails_here = _SeatCounts()  # by e-mail and address
        self._customers_here = _SeatCounts()  # by customer and address
        self._addresses = _SeatCounts()
        self._shows = _SeatCounts()  # by address and show
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
        """Count the seats that the batch allocates to `hold`."""
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
        """Check `seat_count` further seats for a hold that exists. Raises as `check` does."""
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

    def _of_account(self, hold: HoldSeats) -> _SeatCount:
        """Its own seats, and those of guests with its e-mail at its address."""
        own = self._customers.of(hold.customer_id)
        if hold.address_key is None:
            return own
        here = self._emails_here.of((hold.email_key, hold.address_key))
        own_here = self._customers_here.of((hold.customer_id, hold.address_key))
        return own.plus(here.without(own_here))

    def _check_live(self, count: _SeatCount, seat_count: int, most: int) -> None:
        if count.live + seat_count > most:
            raise TooManyHeld(
                f"You hold {count.live} seats, and {most} are the most at once. Pay for them or"
                " give some back first.",
                seats_held=count.live,
                seats_max=most,
            )

    def _check_customer(self, count: _SeatCount, seat_count: int, now: datetime) -> None:
        most = self._terms.held_seats_max
        self._check_live(count, seat_count, most)
        held = count.live + count.ended
        if count.ended and held + seat_count > most:
            seconds = self._seconds_until_fewer(count, now)
            raise GivenBackTooMany(
                f"You gave back {count.ended} seats a short while ago. Please choose again in"
                f" {_minutes(seconds)}.",
                seats_held=held,
                seats_max=most,
                retry_after_seconds=seconds,
            )

    def _check_address(self, count: _SeatCount, seat_count: int, most: int, now: datetime) -> None:
        held = count.live + count.ended
        if held + seat_count > most:
            seconds = self._seconds_until_fewer(count, now)
            raise AddressHoldsTooMany(
                f"From your network, {held} seats are held and not paid for, and {most} are the"
                f" most. Pay for some, or try again in {_minutes(seconds)}; the box office can"
                " help a large group at once.",
                seats_held=held,
                seats_max=most,
                retry_after_seconds=seconds,
            )

    def _seconds_until_fewer(self, count: _SeatCount, now: datetime) -> int:
        """Until the first of them stops counting, if it is not paid for before."""
        if count.ends_at is None:
            return self._terms.hold_seconds + self._terms.release_pause_seconds
        left = (count.ends_at - now).total_seconds() + self._terms.release_pause_seconds
        return max(ceil(left), 1)


def is_near(holds: Sequence[HoldSeats], counted: Mapping[UUID | None, int], terms: Terms) -> bool:
    """Whether one of `holds` may come near a limit, so that the transaction must read the counts.

    `counted` has the seats that count already, by address, and under None those of all e-mails
    together: any of these means near.
    """
    if len({hold.email_key for hold in holds}) < len(holds) or counted.get(None):
        return True
    # By address alone: the sums by show as well would cost every hold more than they save.
    far = min(terms.address_seats_max, terms.address_show_seats_max) // PROCESSES
    after = defaultdict(int, counted)
    for hold in holds:
        if hold.address_key is not None:
            after[hold.address_key] += len(hold.selection.seats) or hold.selection.best
    return max(after.values(), default=0) > far


def _minutes(seconds: int) -> str:
    minutes = ceil(seconds / 60)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"
