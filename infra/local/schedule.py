"""Translates the schedules that ``mlops render`` writes for EventBridge into those of CronJobs."""

import re

from pipelines.config.errors import UserError

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) \*\)")
_DAYS = re.compile(r"[A-Z]{3}(-[A-Z]{3})?")
_PLAIN = re.compile(r"[0-9*,/-]+")


def cron(expression: str) -> str:
    """Return the schedule of a CronJob, in UTC.

    Raises:
        UserError: for what cron cannot say, such as a rate that does not divide its hour or day.
    """
    if rate := _RATE.fullmatch(expression):
        every, unit = int(rate[1]), rate[2]
        minute, hour, day = {
            "minute": (f"*/{every}", "*", "*"),
            "hour": ("0", f"*/{every}", "*"),
            "day": ("0", "0", f"*/{every}"),
        }[unit]
        whole = {"minute": 60, "hour": 24, "day": 2}[unit]
        if 0 < every < whole and whole % every == 0:
            return f"{minute} {hour} {day} * *".replace("*/1 ", "* ")
    if fields := _CRON.fullmatch(expression):
        minute, hour, day, month, weekday = fields.groups()
        day, weekday = ("*" if field == "?" else field for field in (day, weekday))
        plain = all(_PLAIN.fullmatch(field) for field in (minute, hour, day, month))
        if plain and (weekday == "*" or _DAYS.fullmatch(weekday)):
            return f"{minute} {hour} {day} {month} {weekday}"
        if plain and re.fullmatch(r"[1-7]", weekday):  # EventBridge counts from Sunday as 1, cron from Sunday as 0
            return f"{minute} {hour} {day} {month} {int(weekday) - 1}"
    raise UserError(f"cron cannot express the schedule {expression}: state it in other terms, then run 'mlops render'")
