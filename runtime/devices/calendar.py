"""Dates in the proleptic Gregorian calendar, by integer arithmetic (devices may not ask the host's calendar)."""

from __future__ import annotations

_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_before_year(year: int) -> int:
    past = year - 1
    return past * 365 + past // 4 - past // 100 + past // 400


_EPOCH = _days_before_year(1970)


def days_from_date(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; a month out of range is clamped, a day out of range carried."""
    month = min(max(month, 1), 12)
    leap_day = month > 2 and _is_leap(year)
    return _days_before_year(year) - _EPOCH + _DAYS_BEFORE_MONTH[month - 1] + leap_day + day - 1


def date_from_days(days: int) -> tuple[int, int, int]:
    """(year, month, day) of the day that is ``days`` after 1970-01-01."""
    days += _EPOCH
    year = days * 400 // 146_097 + 1
    while _days_before_year(year) > days:
        year -= 1
    while _days_before_year(year + 1) <= days:
        year += 1
    month = 12
    while days_from_date(year, month, 1) + _EPOCH > days:
        month -= 1
    return year, month, days - days_from_date(year, month, 1) - _EPOCH + 1


def weekday(days: int) -> int:
    """1 (Sunday) to 7, as the MC146818 counts."""
    return (days + 4) % 7 + 1
