"""Names of columns whose values a server knows when a request arrives, before any item is chosen."""

from __future__ import annotations

import re

# Words for what a request carries, by what they tell.
WORDS = {
    "time": "hour daytime day weekday weekend week month quarter season holiday timezone",
    "device": "device os browser app platform channel mobile",
    "place": "country region city location latitude longitude lat lon lng geo zip zipcode postcode",
    "session": "session sessionid referrer referer language locale",
}

# Words that change nothing about that. Every other word does: a session is known, its duration is not yet.
BESIDE = (
    "of in at the is id code name type model family version local utc ip "
    "user customer client visitor request event current"
)

_KNOWN = frozenset(" ".join(WORDS.values()).split())
_NEUTRAL = frozenset(BESIDE.split())
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def is_known_at_request(column: str) -> bool:
    """Whether a column is known at request time, as far as its name tells.

    Args:
        column: The name, in snake, camel or kebab case.

    Returns:
        Whether one word of the name is in `WORDS`, and every other one is there too or in `BESIDE`.

    Example:

    >>> [name for name in ("hourOfDay", "device-type", "session_duration", "close") if is_known_at_request(name)]
    ['hourOfDay', 'device-type']
    """
    words = {word.lower() for word in re.findall(r"[^\W\d_]+", _CAMEL.sub(" ", column))}
    return bool(words & _KNOWN) and words <= _KNOWN | _NEUTRAL
