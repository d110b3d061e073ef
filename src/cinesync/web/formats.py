"""Dates and money as people read them: in the theater's time zone, in the visitor's locale."""

import zlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, get_currency_precision
from flask import Flask, has_request_context, request
from flask_babel import Babel, get_locale  # type: ignore[import-untyped]

from cinesync.web.model import Show

LOCALES = ["en-GB", "en-US"]


def install(app: Flask) -> None:
    """Makes the filters known to the templates."""
    Babel(app, default_locale="en_GB", locale_selector=_choose_locale)
    for one in (
        money,
        clock_time,
        day_long,
        day_short,
        moment,
        run_time,
        words,
        language,
        spoken,
        initial,
        seed,
    ):
        app.add_template_filter(one)


def _choose_locale() -> str:
    best = request.accept_languages.best_match(LOCALES) if has_request_context() else None
    return (best or LOCALES[0]).replace("-", "_")


def money(cents: int, currency: str) -> str:
    """`cents` are minor units of `currency`: 1250 GBP is £12.50, 1250 JPY is ¥1,250."""
    if not currency:
        return ""
    amount = Decimal(cents).scaleb(-get_currency_precision(currency))
    return format_currency(amount, currency, locale=get_locale())


def clock_time(at: datetime, time_zone: str) -> str:
    return format_time(at, format="short", tzinfo=ZoneInfo(time_zone), locale=get_locale())


def day_long(day: date) -> str:
    return format_date(day, format="full", locale=get_locale())


def day_short(day: date) -> str:
    return format_date(day, format="EEE d MMM", locale=get_locale())


def moment(at: datetime, time_zone: str) -> str:
    """Day and time at the theater."""
    zone = ZoneInfo(time_zone)
    day = format_datetime(at, format="EEEE d MMMM y", tzinfo=zone, locale=get_locale())
    return f"{day}, {clock_time(at, time_zone)}"


def run_time(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02} min" if hours else f"{rest} min"


def words(name: str) -> str:
    """A code as words: `live_broadcast` is Live broadcast."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def language(code: str) -> str:
    """`en` is English; what is no code stays as it is."""
    locale: Locale = get_locale()
    name: str = locale.languages.get(code, code)
    return name


def spoken(show: Show) -> str:
    """The language heard, and the one to read."""
    heard = language(show.language) if show.language else ""
    return f"{heard}, {language(show.subtitles)} subtitles" if show.subtitles else heard


def initial(title: str) -> str:
    """The letter one would look a title up under: M for The Matrix."""
    return title.removeprefix("The ").removeprefix("A ")[:1].upper()


def seed(text: str) -> int:
    """A number that is always the same for one text: it chooses the shapes of a poster."""
    return zlib.crc32(text.encode())


def days_from(first: date, count: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]
