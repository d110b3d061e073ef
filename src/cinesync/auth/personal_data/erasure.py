"""Erases customers on request: after they authenticate again, and when nothing is unfinished.

Erasure is refused while the customer holds seats, has a ticket for a show that is not over, or has
a payment or refund in progress. These need an owner, and only the customer can decide to give up a
ticket: they cancel first, under the usual rules. Booking and payment are queried before anything
changes; if one does not respond, nothing changes. A purchase that begins between the query and the
erasure stays, under an id that belongs to nobody any more.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from cinesync.auth import service
from cinesync.auth.authentication.authenticator import Authenticator
from cinesync.auth.credentials.codes import hash_code
from cinesync.auth.credentials.secret_box import SecretBox
from cinesync.auth.credentials.signing_keys import SigningKeys
from cinesync.auth.fields import Email, fold_email
from cinesync.auth.links import service as link_service
from cinesync.auth.model import Credentials, Customer, UnfinishedMatters
from cinesync.auth.personal_data import service as erasure_service
from cinesync.auth.personal_data import store as erasure_store
from cinesync.auth.revocations.published import PublishedRevocations
from cinesync.chassis import clock
from cinesync.chassis.database import Database
from cinesync.chassis.http.client import HttpClient, NoResponse
from cinesync.chassis.problems import Forbidden, Unavailable

GUESTS_MAX = 100
REQUESTS_AT_ONCE_MAX = 8
UNFINISHED_PATHS = ("/api/booking/me/unfinished", "/api/payment/me/unfinished")
TOKEN_LIFETIME = timedelta(minutes=1)


class OthersAway(Unavailable):
    """We cannot check your tickets and payments right now; nothing was erased."""


class Erasure:
    """One per process; `other_services` calls the APIs of booking and payment."""

    def __init__(
        self,
        db: Database,
        secret_box: SecretBox,
        signing_keys: SigningKeys,
        authenticator: Authenticator,
        revocations: PublishedRevocations,
        other_services: HttpClient,
    ) -> None:
        self._db = db
        self._secret_box = secret_box
        self._signing_keys = signing_keys
        self._authenticator = authenticator
        self._revocations = revocations
        self._other_services = other_services

    async def close(self) -> None:
        """Close the connections to the other services."""
        await self._other_services.close()

    async def data_of(self, customer_id: UUID) -> dict[str, Any]:
        """All data that auth stores about a customer. Raises NotFound."""
        known = await self._db.run_one(service.get_credentials, customer_id)
        account_key = self._secret_box.account_key(fold_email(known.customer.email).norm)
        return await self._db.read(erasure_service.data_of, customer_id, account_key)

    async def erase_with_password(self, customer_id: UUID, password: str, address: str) -> None:
        """Raises WrongCredentials, UnfinishedMatters, Forbidden, OthersAway, TooMany."""
        known = await self._db.run_one(service.get_credentials, customer_id)
        _refuse_staff(known.customer)
        if known.customer.role == "guest":
            raise Forbidden("A guest has no password; request a link by e-mail.")
        email = fold_email(known.customer.email)
        attempt = self._authenticator.attempt(email, address)
        await self._authenticator.verify(attempt, email, password)
        await self._erase([known.customer], email, address, None)

    async def erase_with_code(self, code: str, address: str) -> None:
        """By a mailed link: also erases all guests with the same e-mail.

        Raises LinkSpent, UnfinishedMatters, Forbidden, OthersAway.
        """
        code_hash = hash_code(code)
        known: Credentials = await self._db.read(link_service.get_owner, code_hash)
        _refuse_staff(known.customer)
        email = fold_email(known.customer.email)
        guest_ids = await self._db.read(erasure_store.guests_with, email, GUESTS_MAX)
        customers = [known.customer]
        for guest_id in guest_ids:
            if guest_id != known.customer.customer_id:
                guest = await self._db.run_one(service.get_credentials, guest_id)
                customers.append(guest.customer)
        await self._erase(customers, email, address, code_hash)

    async def _erase(
        self, customers: Sequence[Customer], email: Email, address: str, code_hash: bytes | None
    ) -> None:
        await self._refuse_unfinished(customers)
        account_key = self._secret_box.account_key(email.norm)
        await self._db.run(erasure_service.erase, customers, account_key, address, code_hash)
        await self._revocations.refresh()

    async def _refuse_unfinished(self, customers: Sequence[Customer]) -> None:
        """Raises UnfinishedMatters with a list of them, OthersAway."""
        at_once = asyncio.Semaphore(REQUESTS_AT_ONCE_MAX)

        async def fetch(customer: Customer, path: str) -> list[dict[str, Any]]:
            async with at_once:
                return await self._fetch_unfinished(customer, path)

        responses = await asyncio.gather(
            *(fetch(customer, path) for customer in customers for path in UNFINISHED_PATHS)
        )
        items = [item for response in responses for item in response]
        if items:
            raise UnfinishedMatters(items)

    async def _fetch_unfinished(self, customer: Customer, path: str) -> list[dict[str, Any]]:
        email_key = self._secret_box.email_key(fold_email(customer.email).norm)
        caller = await self._signing_keys.sign(
            customer.customer_id, customer.role, TOKEN_LIFETIME, email_key, clock.new_id()
        )
        headers = {"authorization": f"Bearer {caller.token}"}
        try:
            response = await self._other_services.call("GET", path, headers=headers)
        except NoResponse as error:
            raise OthersAway(retry_after_seconds=2) from error
        if response.status != HTTPStatus.OK:
            raise OthersAway(retry_after_seconds=2)
        items: list[dict[str, Any]] = response.json()["items"]
        return items


def _refuse_staff(customer: Customer) -> None:
    """Raises Forbidden: operators end the accounts of staff."""
    if customer.role not in {"customer", "guest"}:
        raise Forbidden("Operators disable the accounts of staff, by `cinesync staff`.")
