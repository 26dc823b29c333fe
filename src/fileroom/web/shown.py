"""Attribute values as a person reads them (PS3.5 §6.2). Pure.

What is not of the form that its VR asks for is shown as it is; nothing that a sender wrote makes
this fail.
"""

import re

_TIME = re.compile(r"([0-9]{2}):?([0-9]{2})")
SEXES = {"F": "female", "M": "male", "O": "other"}  # PS3.3 §C.7.1.1
AVAILABILITIES = {  # PS3.3 §C.4.23.1.1
    "ONLINE": "ready",
    "NEARLINE": "to be fetched",
    "OFFLINE": "out of reach",
    "UNAVAILABLE": "not available",
}


def name(value: str) -> str:
    """A person's name: the first component group that says something, family name first, and the
    others in parentheses (PS3.5 §6.2.1.1)."""
    groups = [_group(each) for each in value.split("\\")[0].split("=")]
    told = [each for each in groups if each]
    if not told:
        return ""
    others = ", ".join(told[1:])
    return f"{told[0]} ({others})" if others else told[0]


def _group(group: str) -> str:
    parts = [each.strip() for each in group.split("^", 4)]
    family, given, middle, prefix, suffix = [*parts, "", "", "", ""][:5]
    first = " ".join(each for each in (prefix, given, middle) if each)
    full = ", ".join(each for each in (family, first) if each)
    return f"{full}, {suffix}" if suffix and full else full or suffix


def date(value: str) -> str:
    """A date as 2026-11-24."""
    text = value.strip().replace(".", "")
    if len(text) == 8 and text.isascii() and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return value.strip()


def time(value: str) -> str:
    """A time as 09:30."""
    matched = _TIME.match(value.strip())
    return f"{matched[1]}:{matched[2]}" if matched else value.strip()


def sex(value: str) -> str:
    """A patient's sex as a word."""
    return SEXES.get(value.strip().upper(), value.strip())


def listed(value: str) -> str:
    """Several values, with commas."""
    return ", ".join(each.strip() for each in value.split("\\") if each.strip())


def availability(value: str) -> str:
    """An Instance Availability as words."""
    return AVAILABILITIES.get(value, value.lower())


def counted(number: int, one: str, many: str) -> str:
    """A number with its noun, the thousands apart by a thin space."""
    return f"{number:,}".replace(",", "\u202f") + f" {one if number == 1 else many}"
