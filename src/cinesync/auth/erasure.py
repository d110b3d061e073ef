"""Erasing a customer: who asks shows again who they are, and nothing of theirs may be under way.

It is refused while they hold seats, have tickets for a show that is not over, or have money on its
way: those need an owner, and only the customer can say whether a ticket is worth more to them than
being forgotten. They cancel first, by the usual way and under the usual rules. The other services
are asked before anything is changed; if one does not answer, nothing is. A purchase that is begun
in the very moment between is kept as it is, under an id that nobody can name any more.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from cinesync.auth import erasure_service, erasure_store, link_service, service
from cinesync.auth.authenticator import Authenticator
from cinesync.auth.codes import hash_code
from cinesync.auth.model import (
    Credentials,
    Customer,
    Email,
    UnfinishedMatters,
    fold_email,
)
from cinesync.auth.published_revocations import PublishedRevocations
from cinesync.auth.secret_box import SecretBox
from cinesync.auth.signing_keys import SigningKeys
from cinesync.chassis import clock
from cinesync.chassis.database import Database
from cinesync.chassis.http.client import HttpClient, NoResponse
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.problems import Forbidden, Unavailable

GUESTS_AT_ONCE_MAX = 100
ASKED_AT_ONCE = 8
ASKED = ("/api/booking/me/unfinished", "/api/payment/me/unfinished")
QUESTION_LIFETIME = timedelta(minutes=1)
OK = 200


class OthersAway(Unavailable):
    """We cannot look at your tickets and payments right now; nothing was erased."""


class Erasure:
    """One per process; `others` is where the other services' APIs answer."""

    def __init__(
        self,
        db: Database,
        secret_box: SecretBox,
        signing_keys: SigningKeys,
        authenticator: Authenticator,
        revocations: PublishedRevocations,
        others: HttpClient,
    ) -> None:
        self._db = db
        self._secret_box = secret_box
        self._signing_keys = signing_keys
        self._authenticator = authenticator
        self._revocations = revocations
        self._others = others

    async def close(self) -> None:
        """Hang up."""
        await self._others.close()

    async def data(self, caller: Caller) -> dict[str, Any]:
        """All that auth keeps of the caller. Raises NotFound."""
        known = await self._db.run_one(service.get_credentials, caller.customer_id)
        account_key = self._secret_box.account_key(fold_email(known.customer.email).norm)
        return await self._db.read(erasure_service.data_of, caller.customer_id, account_key)

    async def erase_with_password(self, caller: Caller, password: str, address: str) -> None:
        """Raises WrongCredentials, UnfinishedMatters, Forbidden, OthersAway, TooMany."""
        known = await self._db.run_one(service.get_credentials, caller.customer_id)
        _refuse_staff(known.customer)
        if known.customer.role == "guest":
            raise Forbidden("A guest has no password; ask for a link by e-mail.")
        await self._authenticator.prove_again(known, password, address)
        await self._erase([known.customer], fold_email(known.customer.email), address, None)

    async def erase_with_code(self, code: str, address: str) -> None:
        """By a mailed link: also every purchase as a guest with the same e-mail.

        Raises LinkSpent, UnfinishedMatters, Forbidden, OthersAway.
        """
        code_hash = hash_code(code)
        known: Credentials = await self._db.read(link_service.owner, code_hash)
        _refuse_staff(known.customer)
        email = fold_email(known.customer.email)
        guest_ids = await self._db.read(erasure_store.guests_with, email, GUESTS_AT_ONCE_MAX)
        persons = [known.customer]
        for guest_id in guest_ids:
            if guest_id != known.customer.customer_id:
                guest = await self._db.run_one(service.get_credentials, guest_id)
                persons.append(guest.customer)
        await self._erase(persons, email, address, code_hash)

    async def _erase(
        self, persons: Sequence[Customer], email: Email, address: str, code_hash: bytes | None
    ) -> None:
        await self._check(persons)
        account_key = self._secret_box.account_key(email.norm)
        await self._db.run(erasure_service.erase, persons, account_key, address, code_hash)
        await self._revocations.refresh()

    async def _check(self, persons: Sequence[Customer]) -> None:
        """Raises UnfinishedMatters naming them, OthersAway."""
        at_once = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(person: Customer, path: str) -> list[dict[str, Any]]:
            async with at_once:
                return await self._unfinished(person, path)

        answers = await asyncio.gather(*(ask(one, path) for one in persons for path in ASKED))
        items = [item for answer in answers for item in answer]
        if items:
            raise UnfinishedMatters(items)

    async def _unfinished(self, person: Customer, path: str) -> list[dict[str, Any]]:
        email_key = self._secret_box.email_key(fold_email(person.email).norm)
        caller = await self._signing_keys.sign(
            person.customer_id, person.role, QUESTION_LIFETIME, email_key, clock.new_id()
        )
        headers = {"authorization": f"Bearer {caller.token}"}
        try:
            answer = await self._others.call("GET", path, headers=headers)
            if answer.status != OK:
                raise OthersAway(retry_after_seconds=2)
            items: list[dict[str, Any]] = answer.json()["items"]
        except NoResponse as error:
            raise OthersAway(retry_after_seconds=2) from error
        return items


def _refuse_staff(customer: Customer) -> None:
    """Raises Forbidden: their account is their employer's to end."""
    if customer.role not in {"customer", "guest"}:
        raise Forbidden("An account of staff is ended by who runs the shop (`cinesync staff`).")
