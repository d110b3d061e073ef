"""Dates and money as people read them: in the theater's time zone, in the visitor's locale."""

import zlib
from copy import copy
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import get_currency_precision
from flask import Flask, has_request_context, request
from flask_babel import Babel, get_locale  # type: ignore[import-untyped]
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from cinesync.chassis.money import decimals, in_major_units
from cinesync.web.api_models import Show

LOCALES = ["en-GB", "en-US"]
WORDINGS_KEPT_MAX = 4_096
LANGUAGES_CHARS_MAX = 500  # of a header that may have hundreds of thousands, and would be kept


def install(app: Flask) -> None:
    """Makes the filters known to the templates."""
    Babel(app, default_locale="en_GB", locale_selector=_locale_of_request)
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
        decimals,
        usual_decimals,
    ):
        app.add_template_filter(one)


def _locale_of_request() -> str:
    return best_locale(request.headers.get("Accept-Language", "") if has_request_context() else "")


def best_locale(accept_language: str) -> str:
    """What Babel calls the locale of a visitor whose browser sends that header."""
    return _best_locale(accept_language[:LANGUAGES_CHARS_MAX])


@lru_cache(WORDINGS_KEPT_MAX)
def _best_locale(accept_language: str) -> str:
    best = parse_accept_header(accept_language, LanguageAccept).best_match(LOCALES)
    return (best or LOCALES[0]).replace("-", "_")


def money(cents: int, currency: str) -> str:
    """`cents` are minor units of `currency`: 1250 GBP is £12.50, 1250 JPY is ¥1,250.

    `static/money.js` writes amounts in the same way.
    """
    return _money(cents, currency, get_locale()) if currency else ""


@lru_cache(WORDINGS_KEPT_MAX)  # a seat map names a few prices hundreds of times
def _money(cents: int, currency: str, locale: Locale) -> str:
    amount = in_major_units(cents, currency)
    pattern = copy(locale.currency_formats["standard"])
    is_whole = amount == amount.to_integral_value()
    shown = usual_decimals(currency) if is_whole else decimals(currency)
    pattern.frac_prec = (shown, shown)
    text: str = pattern.apply(amount, locale, currency=currency, currency_digits=False)
    return text


def usual_decimals(currency: str) -> int:
    """The decimals of a whole amount: none where people leave them out (CLDR), else ISO's."""
    return min(get_currency_precision(currency), decimals(currency))


def clock_time(at: datetime, time_zone: str) -> str:
    """As the theater's clock shows it; in the hour that clocks run twice, with the zone's name."""
    local = at.astimezone(ZoneInfo(time_zone))
    told = format_time(local, format="short", tzinfo=local.tzinfo, locale=get_locale())
    is_twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return f"{told} {local.tzname()}" if is_twice else told


def day_long(day: date) -> str:
    return _day(day, "full", get_locale())


def day_short(day: date) -> str:
    return _day(day, "EEE d MMM", get_locale())


@lru_cache(WORDINGS_KEPT_MAX)
def _day(day: date, pattern: str, locale: Locale) -> str:
    return format_date(day, format=pattern, locale=locale)


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
