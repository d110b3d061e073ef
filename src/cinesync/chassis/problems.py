"""Errors that a client may see, as RFC 9457 problem details."""

from typing import Any, ClassVar


class Problem(Exception):
    """Something went wrong."""

    # The first line of a subclass's docstring is its title; members go out beside `detail`.
    status: ClassVar[int] = 400

    def __init__(self, detail: str = "", /, **members: Any) -> None:
        super().__init__(detail or self.title())
        self.detail = detail
        self.members = members

    @classmethod
    def title(cls) -> str:
        """The docstring's first line: what a client reads."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    @classmethod
    def type_uri(cls) -> str:
        """A stable name for programs: `/problems/seat-taken` for SeatTaken."""
        words = "".join(f"-{c.lower()}" if c.isupper() else c for c in cls.__name__)
        return f"/problems/{words.removeprefix('-')}"

    def as_dict(self) -> dict[str, Any]:
        """The members of RFC 9457 section 3.1, then this problem's own."""
        body: dict[str, Any] = {
            "type": self.type_uri(),
            "title": self.title(),
            "status": self.status,
        }
        if self.detail:
            body["detail"] = self.detail
        return body | self.members


class Invalid(Problem):
    """The request cannot be understood as it is."""

    status = 422


class Unauthorized(Problem):
    """Please sign in: this needs a valid access token."""

    status = 401


class Forbidden(Problem):
    """You may not do this."""

    status = 403


class NotFound(Problem):
    """There is nothing here by that name."""

    status = 404


class TooMany(Problem):
    """Too many attempts; please wait."""

    status = 429


class Unavailable(Problem):
    """We cannot do this right now; please try again in a moment."""

    status = 503
