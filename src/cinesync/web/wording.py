"""Problems of the APIs in a moviegoer's words. Pure.

An API writes to programmers: it names headers, members and tokens. A page says what happened, that
nothing is lost, and what to do now.
"""

from collections.abc import Mapping
from typing import Final

_LOOK_FIRST: Final = (
    "We lost contact in the middle of this. Look at your bookings before you try again."
)
_AGAIN: Final = "We cannot do this right now; nothing is lost. Please try again in a moment."
_FORM: Final = "Something in the form is not as it should be. Please check it and send it again."
_PAID_FROM_HERE: Final = (
    "This page was used for another payment before. Load it again to pay in another way; nothing"
    " more was taken."
)

# By the last part of a problem's type. What is not listed reads well as the API says it.
SENTENCES: Final[Mapping[str, str]] = {
    "broken-off": _LOOK_FIRST,
    "fate-unknown": _LOOK_FIRST,
    "broker-away": _AGAIN,
    "contended": _AGAIN,
    "database-away": _AGAIN,
    "database-full": _AGAIN,
    "jwks-unavailable": _AGAIN,
    "too-many-listeners": _AGAIN,
    "validators-away": "The ledger does not answer right now; what is sold waits for it.",
    "body-broken": "Your form did not arrive whole. Please send it again.",
    "body-too-large": "The form is larger than we accept.",
    "body-too-slow": "Your form took too long to arrive. Please send it again.",
    "headers-too-large": (
        "Your browser sent more than we accept. Deleting this site's cookies may help."
    ),
    "host-unclear": "Your browser did not say which site it wants.",
    "invalid": _FORM,
    "no-body-taken": _FORM,
    "unknown-member": _FORM,
    "unreadable": _FORM,
    "unsupported-body": _FORM,
    "forbidden": "This is for members of staff who may do it.",
    "unauthorized": "Please sign in.",
    "key-missing": "This page is not whole any more. Load it again, then pay; nothing was taken.",
    "key-reused": _PAID_FROM_HERE,
    "token-missing": "Choose a card to pay with.",
    "unsettled": "This payment is not decided yet. Please try again in a moment.",
    "bad-notice": _FORM,
    "bad-signature": _FORM,
    "no-such-auditorium": "There is no such screen.",
    "no-such-movie": "There is no such film.",
    "no-such-show": "There is no such show.",
    "no-such-theater": "There is no such theater.",
    "no-such-staff": "No member of staff has this e-mail.",
    "too-late-to-cancel": "It is too late to cancel this booking.",
}
