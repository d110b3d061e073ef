"""The few calls of Stripe's API that we make, spoken as its reference documents them.

https://docs.stripe.com/api: form-encoded requests, JSON answers, idempotency keys, 402 for cards.
"""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cinesync.chassis import clock

WEBHOOK_SECRET = "whsec_of_the_tests"

Answer = tuple[int, dict[str, Any]]

STATUS_OF_CARD = {
    "pm_card_visa": "succeeded",
    "pm_card_authenticationRequired": "requires_action",
    "pm_card_slow": "processing",
    "pm_card_chargeDeclined": "requires_payment_method",
}


class StripeStandIn:
    """Payment intents and refunds in memory."""

    def __init__(self) -> None:
        self.url = ""
        self.intents: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.transactions: list[dict[str, Any]] = []
        self.refund_status = "succeeded"
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.broken = False

    def handle(self, method: str, target: str, headers: dict[str, str], body: str) -> Answer:
        """One request."""
        self.requests.append((f"{method} {urlsplit(target).path}", headers))
        if self.broken:
            return 500, {"error": {"type": "api_error", "message": "broken"}}
        key = headers.get("idempotency-key", "")
        if method == "POST" and key in self.answers:
            return self.answers[key]
        answer = self._route(method, urlsplit(target).path, dict(parse_qsl(body or "")), target)
        if method == "POST" and key:
            self.answers[key] = answer
        return answer

    def _route(  # noqa: C901, PLR0911 a table of routes
        self, method: str, path: str, form: dict[str, str], target: str
    ) -> Answer:
        query = dict(parse_qsl(urlsplit(target).query))
        parts = path.removeprefix("/v1/").split("/")
        match (method, *parts):
            case ("POST", "payment_intents"):
                return self._create(form)
            case ("GET", "payment_intents", "search"):
                return 200, _list(
                    [i for i in self.intents.values() if _metadata(i) in query["query"]], {}
                )
            case ("GET", "payment_intents", name):
                return (200, self.intents[name]) if name in self.intents else _missing()
            case ("POST", "payment_intents", name, "cancel"):
                return self._cancel(name)
            case ("POST", "refunds"):
                return self._refund(form)
            case ("GET", "refunds", name):
                return (200, self.refunds[name]) if name in self.refunds else _missing()
            case (_, "webhook_endpoints", *names):
                return self._webhook_endpoint(method, names, form, query)
            case ("GET", "balance_transactions"):
                assert query["expand[0]"] == "data.source"
                return 200, _list(list(reversed(self.transactions)), query)
            case ("GET", "events"):
                return 200, _list(self._events_since(query), query)
        raise AssertionError(f"not spoken here: {method} {path}")

    def _create(self, form: dict[str, str]) -> Answer:
        status = STATUS_OF_CARD.get(form["payment_method"])
        if status is None:
            return _missing()
        amount = int(form["amount"])
        action = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example/3ds"}}
        intent: dict[str, Any] = {
            "id": f"pi_{clock.new_id().hex}",
            "object": "payment_intent",
            "amount": amount,
            "amount_received": amount if status == "succeeded" else 0,
            "currency": form["currency"],
            "status": status,
            "metadata": {"payment_id": form["metadata[payment_id]"]},
            "next_action": action if status == "requires_action" else None,
            "last_payment_error": None,
            "return_url": form.get("return_url"),
        }
        self.intents[intent["id"]] = intent
        if status == "succeeded":
            self._charged(intent)
        if status == "requires_payment_method":
            error = {
                "type": "card_error",
                "code": "card_declined",
                "decline_code": "generic_decline",
                "message": "Your card was declined.",
                "payment_intent": intent,
            }
            intent["last_payment_error"] = {"decline_code": "generic_decline"}
            return 402, {"error": error}
        return 200, intent

    def capture(self, name: str) -> dict[str, Any]:
        """What happens at the bank, later."""
        intent = self.intents[name]
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "next_action": None}
        self._charged(intent)
        return intent

    def _charged(self, intent: dict[str, Any]) -> None:
        charge = {
            "id": f"ch_{clock.new_id().hex}",
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"],
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "metadata": intent["metadata"],
        }
        self.moved("charge", intent["amount"], charge)

    def moved(self, kind: str, amount: int, source: Any) -> None:
        """A movement of the balance, in the account's currency."""
        transaction = {
            "id": f"txn_{clock.new_id().hex}",
            "object": "balance_transaction",
            "type": kind,
            "amount": amount,
            "currency": "usd",
            "source": source,
        }
        self.transactions.append(transaction)

    def _cancel(self, name: str) -> Answer:
        intent = self.intents[name]
        if intent["status"] == "succeeded":
            error = {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}
            return 400, {"error": error | {"message": "You cannot cancel this PaymentIntent"}}
        intent["status"] = "canceled"
        return 200, intent

    def _webhook_endpoint(
        self, method: str, names: list[str], form: dict[str, str], query: dict[str, str]
    ) -> Answer:
        """Endpoints show their secret once."""
        if method == "GET":
            return 200, _list(list(self.endpoints.values()), query)
        if method == "DELETE":
            return 200, {"id": self.endpoints.pop(names[0])["id"], "deleted": True}
        events = [value for name, value in form.items() if name.startswith("enabled_events")]
        if names:
            self.endpoints[names[0]] |= {"enabled_events": events, "status": "enabled"}
            return 200, self.endpoints[names[0]]
        made = {
            "id": f"we_{clock.new_id().hex}",
            "object": "webhook_endpoint",
            "url": form["url"],
            "enabled_events": events,
            "api_version": form["api_version"],
            "status": "enabled",
        }
        self.endpoints[str(made["id"])] = made
        return 200, made | {"secret": f"whsec_{made['id']}"}

    def _events_since(self, query: dict[str, str]) -> list[dict[str, Any]]:
        """The newest first, as Stripe lists them."""
        since = int(query["created[gte]"])
        return [event for event in reversed(self.events) if event["created"] >= since]

    def refund_in_dashboard(self, name: str, amount: int) -> dict[str, Any]:
        """What staff do in the dashboard."""
        return self._made(self.intents[name], amount, {})

    def move_refund(self, name: str, status: str, reason: str | None = None) -> dict[str, Any]:
        """What a bank does with a refund, later."""
        refund: dict[str, Any] = self.refunds[name]
        refund |= {"status": status, "failure_reason": reason}
        if status in {"failed", "canceled"}:
            self.moved("refund_failure", refund["amount"], refund)
        return dict(refund)

    def dispute(self, name: str, status: str, amount: int | None = None) -> dict[str, Any]:
        """A card holder's bank takes the money of an intent, or moves on with that."""
        intent = self.intents[name]
        dispute = self.disputes.setdefault(
            name,
            {
                "id": f"dp_{clock.new_id().hex}",
                "object": "dispute",
                "amount": amount or intent["amount"],
                "currency": intent["currency"],
                "payment_intent": name,
                "reason": "fraudulent",
                "evidence_details": {"due_by": int(clock.now().timestamp()) + 604_800},
            },
        )
        was_held = dispute.get("status") in {"needs_response", "under_review"}
        dispute["status"] = status
        if status == "needs_response" and not was_held:
            self.moved("adjustment", -dispute["amount"], dispute)
        if status == "won" and was_held:
            self.moved("adjustment", dispute["amount"], dispute)
        return dict(dispute)

    def _refund(self, form: dict[str, str]) -> Answer:
        intent = self.intents[form["payment_intent"]]
        given = sum(
            r["amount"]
            for r in self.refunds.values()
            if r["payment_intent"] == intent["id"] and r["status"] not in {"failed", "canceled"}
        )
        if given + int(form["amount"]) > intent["amount_received"]:
            error = {"type": "invalid_request_error", "code": "charge_already_refunded"}
            return 400, {"error": error | {"message": "Too much."}}
        metadata = {"refund_id": form["metadata[refund_id]"]}
        return 200, self._made(intent, int(form["amount"]), metadata)

    def _made(
        self, intent: dict[str, Any], amount: int, metadata: dict[str, str]
    ) -> dict[str, Any]:
        refund = {
            "id": f"re_{clock.new_id().hex}",
            "object": "refund",
            "amount": amount,
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "status": self.refund_status,
            "failure_reason": None,
            "metadata": metadata,
        }
        self.refunds[str(refund["id"])] = refund
        if self.refund_status not in {"failed", "canceled"}:
            self.moved("refund", -amount, refund)
        return dict(refund)


def _metadata(intent: dict[str, Any]) -> str:
    return f"'{intent['metadata']['payment_id']}'"


def _missing() -> Answer:
    error = {"type": "invalid_request_error", "code": "resource_missing", "message": "No such."}
    return 404, {"error": error}


def _list(items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    names = [item["id"] for item in items]
    begin = names.index(query["starting_after"]) + 1 if "starting_after" in query else 0
    page = items[begin : begin + int(query.get("limit", "10"))]
    has_more = begin + len(page) < len(items)
    return {"object": "list", "data": page, "has_more": has_more, "url": "/v1/x"}


def an_event(event_type: str, thing: dict[str, Any]) -> dict[str, Any]:
    """As https://docs.stripe.com/api/events/object has it."""
    return {
        "id": f"evt_{clock.new_id().hex}",
        "object": "event",
        "created": int(clock.now().timestamp()),
        "type": event_type,
        "data": {"object": thing},
    }


def signed(event_type: str, thing: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    """An event with the header that https://docs.stripe.com/webhooks/signatures describes."""
    event = an_event(event_type, thing)
    body = json.dumps(event).encode()
    now = int(clock.now().timestamp())
    message = f"{now}.".encode() + body
    digest = hmac.new(WEBHOOK_SECRET.encode(), message, sha256).hexdigest()
    return {"stripe-signature": f"t={now},v1={digest}"}, body


@asynccontextmanager
async def stripe_stand_in() -> AsyncIterator[StripeStandIn]:
    """On a free port."""
    stand_in = StripeStandIn()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n"):
                method, target, _ = head[0].split(" ")
                fields = [line.split(": ", 1) for line in head[1:] if line]
                headers = {name.lower(): value for name, value in fields}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, content = stand_in.handle(method, target, headers, body.decode())
                text = json.dumps(content)
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(text)}\r\n\r\n{text}".encode()
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    stand_in.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stand_in
    finally:
        server.close()
