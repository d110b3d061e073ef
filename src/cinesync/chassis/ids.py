"""UUIDs that are made, compared and hashed in C: those of asyncpg, a subclass of `uuid.UUID`."""

from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as _DriverUUID  # noqa: N811 a class


def id_of(value: str | bytes) -> UUID:
    """A UUID from its text or its 16 bytes. Raises ValueError."""
    made: UUID = _DriverUUID(value)
    return made
