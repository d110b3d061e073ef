"""Dates, times, languages and money in the visitor's locale and the theater's time zone."""

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
CACHED_TEXTS_MAX = 4_096
LANGUAGES_CHARS_MAX = 500  # longer headers would fill the cache


def install(app: Flask) -> None:
    """Register the template filters."""
    Babel(app, default_locale="en_GB", locale_selector=_locale_of_request)
    for template_filter in (
        money,
        clock_time,
        day_long,
        day_short,
        date_time,
        run_time,
        words,
        language,
        languages_of,
        initial,
        seed,
        decimals,
        usual_decimals,
    ):
        app.add_template_filter(template_filter)


def _locale_of_request() -> str:
    return best_locale(request.headers.get("Accept-Language", "") if has_request_context() else "")


def best_locale(accept_language: str) -> str:
    """Babel's name of the best locale for an Accept-Language header."""
    return _best_locale(accept_language[:LANGUAGES_CHARS_MAX])


@lru_cache(CACHED_TEXTS_MAX)
def _best_locale(accept_language: str) -> str:
    best = parse_accept_header(accept_language, LanguageAccept).best_match(LOCALES)
    return (best or LOCALES[0]).replace("-", "_")


def money(cents: int, currency: str) -> str:
    """`cents` are minor units of `currency`: 1250 GBP is £12.50, 1250 JPY is ¥1,250.

    The storefront's `money.js` formats amounts in the same way.
    """
    return _money(cents, currency, get_locale()) if currency else ""


@lru_cache(CACHED_TEXTS_MAX)  # a seat map has hundreds of seats and few prices
def _money(cents: int, currency: str, locale: Locale) -> str:
    amount = in_major_units(cents, currency)
    pattern = copy(locale.currency_formats["standard"])
    is_whole = amount == amount.to_integral_value()
    shown = usual_decimals(currency) if is_whole else decimals(currency)
    pattern.frac_prec = (shown, shown)
    text: str = pattern.apply(amount, locale, currency=currency, currency_digits=False)
    return text


def usual_decimals(currency: str) -> int:
    """The decimals of a whole amount: none where CLDR leaves them out, else ISO 4217's."""
    return min(get_currency_precision(currency), decimals(currency))


def clock_time(at: datetime, time_zone: str) -> str:
    """The theater's local time, with the zone's name in the hour that clocks repeat in autumn."""
    local = at.astimezone(ZoneInfo(time_zone))
    text = format_time(local, format="short", tzinfo=local.tzinfo, locale=get_locale())
    is_repeated = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return f"{text} {local.tzname()}" if is_repeated else text


def day_long(day: date) -> str:
    return _day(day, "full", get_locale())


def day_short(day: date) -> str:
    return _day(day, "EEE d MMM", get_locale())


@lru_cache(CACHED_TEXTS_MAX)
def _day(day: date, pattern: str, locale: Locale) -> str:
    return format_date(day, format=pattern, locale=locale)


def date_time(at: datetime, time_zone: str) -> str:
    """The date and the time at the theater."""
    zone = ZoneInfo(time_zone)
    day = format_datetime(at, format="EEEE d MMMM y", tzinfo=zone, locale=get_locale())
    return f"{day}, {clock_time(at, time_zone)}"


def run_time(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02} min" if hours else f"{rest} min"


def words(name: str) -> str:
    """`live_broadcast` is Live broadcast."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def language(code: str) -> str:
    """`en` is English; an unknown code stays as it is."""
    locale: Locale = get_locale()
    name: str = locale.languages.get(code, code)
    return name


def languages_of(show: Show) -> str:
    """The spoken language and the subtitles."""
    spoken = language(show.language) if show.language else ""
    return f"{spoken}, {language(show.subtitles)} subtitles" if show.subtitles else spoken


def initial(title: str) -> str:
    """The letter that a title is sorted under: M for The Matrix."""
    return title.removeprefix("The ").removeprefix("A ")[:1].upper()


def seed(text: str) -> int:
    """A number that depends on the text only: it selects the shapes of a poster."""
    return zlib.crc32(text.encode())
