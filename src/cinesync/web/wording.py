"""API problems in a moviegoer's words. Pure.

An API's problem names headers, members and tokens. A page says what happened, that nothing is lost,
and what to do now.
"""

from collections.abc import Mapping
from typing import Final

_LOOK_FIRST: Final = (
    "We lost the connection before the answer came. Check your bookings before you try again."
)
_AGAIN: Final = "We cannot do this right now. Nothing is lost. Please try again in a moment."
_FORM: Final = "Something in the form is wrong. Please check it and send it again."
_PAID_FROM_HERE: Final = (
    "This page was already used for another payment. Reload it to pay in another way. Nothing more"
    " was charged."
)

# By the last part of the problem's type. All other problems show the API's own words.
SENTENCES: Final[Mapping[str, str]] = {
    "broken-off": _LOOK_FIRST,
    "fate-unknown": _LOOK_FIRST,
    "broker-away": _AGAIN,
    "contended": _AGAIN,
    "database-away": _AGAIN,
    "database-full": _AGAIN,
    "jwks-unavailable": _AGAIN,
    "too-many-listeners": _AGAIN,
    "validators-away": "The ledger does not answer right now. It records your purchase later.",
    "body-broken": "Your form did not arrive complete. Please send it again.",
    "body-too-large": "The form is larger than we accept.",
    "body-too-slow": "Your form took too long to arrive. Please send it again.",
    "headers-too-large": (
        "Your browser sent more than we accept. Delete this site's cookies and try again."
    ),
    "host-unclear": "Your browser did not name the site.",
    "invalid": _FORM,
    "no-body-taken": _FORM,
    "unknown-member": _FORM,
    "unreadable": _FORM,
    "unsupported-body": _FORM,
    "forbidden": "You do not have the permission for this.",
    "unauthorized": "Please sign in.",
    "key-missing": "This page is incomplete. Reload it, then pay. Nothing was charged.",
    "key-reused": _PAID_FROM_HERE,
    "token-missing": "Choose a card to pay with.",
    "unsettled": "This payment is not decided yet. Please try again in a moment.",
    "bad-notice": _FORM,
    "bad-signature": _FORM,
    "no-such-auditorium": "There is no such screen.",
    "no-such-movie": "There is no such film.",
    "no-such-show": "There is no such show.",
    "no-such-theater": "There is no such theater.",
    "no-such-staff": "No staff account has this e-mail.",
    "too-late-to-cancel": "It is too late to cancel this booking.",
}
