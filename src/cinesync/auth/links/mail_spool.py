"""Writes mails as files into a folder; a mail program or a person takes them from there.

Each event has one file, named by customer and event id, so an event that is delivered twice is
written once.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from cinesync.auth import store
from cinesync.auth.credentials.codes import hash_code, new_code
from cinesync.auth.links import store as link_store
from cinesync.auth.model import LinkPurpose
from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import Transaction
from cinesync.contracts.auth import CustomerErased, LinkRequested

log = telemetry.get_logger(__name__)

PAGES = {
    LinkPurpose.SIGN_IN: ("/sign-in/link", "to sign in"),
    LinkPurpose.ERASE: ("/account/erase", "to erase all data that it stores about you"),
}


class MailSpool:
    """Writes mails into a folder; without one, it drops them and logs a warning."""

    def __init__(
        self, folder: str, shop_name: str, shop_url: str, link_lifetime: timedelta
    ) -> None:
        self._folder = Path(folder) if folder else None
        self._link_lifetime = link_lifetime
        self._shop_name = shop_name
        self._shop_url = shop_url.rstrip("/")

    async def send_links(self, tx: Transaction, events: Sequence[LinkRequested]) -> None:
        """Write a mail with a new code for each event; disabled and erased customers get none.

        A retry replaces the mail, because the code of the first try was rolled back.
        """
        for event in events:
            known = await store.find_credentials_by_id(tx, event.customer_id)
            if known is None:
                continue
            if self._folder is None:
                log.warning("mail.no_spool", customer_id=str(event.customer_id))
                continue
            code = new_code()
            await link_store.insert(tx, hash_code(code), event.customer_id, self._link_lifetime)
            mail = self._link_mail(known.customer.email, code, event.purpose)
            path = self._folder / f"{event.customer_id}.{event.event_id}.eml"
            await asyncio.to_thread(_write, path, mail.as_bytes())
            log.info("mail.spooled", mail=path.name, customer_id=str(event.customer_id))

    async def delete_mails(self, _tx: Transaction, events: Sequence[CustomerErased]) -> None:
        """Delete the mails of erased customers."""
        if self._folder is not None:
            names = [f"{event.customer_id}.*" for event in events]
            await asyncio.to_thread(_delete, self._folder, names)

    def _link_mail(self, address: str, code: str, purpose: str) -> EmailMessage:
        mail = EmailMessage()
        mail["To"] = address
        host = urlsplit(self._shop_url).hostname or "localhost"
        mail["From"] = f"{self._shop_name} <no-reply@{host}>"
        mail["Subject"] = f"Your link to {self._shop_name}"
        mail["Date"] = clock.now()
        path, what = PAGES[LinkPurpose(purpose)]
        mail.set_content(
            f"You, or somebody else, asked {self._shop_name} for a link {what}:\n\n"
            f"{self._shop_url}{path}?{urlencode({'code': code})}\n\n"
            f"It works once, for {self._link_lifetime // timedelta(minutes=1)} minutes. If it was"
            " not you, do nothing:\nnobody can use it without this mail.\n"
        )
        return mail


def _delete(folder: Path, names: Sequence[str]) -> None:
    for path in [path for name in names for path in folder.glob(name)]:
        path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none, readable by this process's user only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unfinished.replace(path)
