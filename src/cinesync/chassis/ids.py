"""UUIDs made, compared and hashed in C: the driver's own, a `uuid.UUID` to everybody."""

from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as _DriverUUID  # noqa: N811 a class


def id_of(value: str | bytes) -> UUID:
    """From its text or its 16 bytes. Raises ValueError."""
    made: UUID = _DriverUUID(value)
    return made
