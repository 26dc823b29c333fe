"""How a verb tells its result: lines for people, one JSON document for programs."""

import json
import sys
from collections.abc import Iterable
from typing import Any

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def tell(document: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print the result once: `document` with --json, else `lines`."""
    if as_json:
        print(json.dumps(document, indent=2, default=str), flush=True)
    else:
        print("\n".join(lines), flush=True)


def complain(text: str) -> None:
    """A line for the person at the terminal; standard output stays for results."""
    print(f"fileroom: {text}", file=sys.stderr)


def in_bytes(size_bytes: float) -> str:
    """1234567 as "1.2 MB": powers of 1000, as disks are sold."""
    size = float(size_bytes)
    for unit in UNITS[:-1]:
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"


def in_time(duration_s: float) -> str:
    """93784 as "1 d 2 h": the two largest units that count."""
    left = round(duration_s)
    words: list[str] = []
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length_s)
        if count or (unit == "s" and not words):
            words.append(f"{count} {unit}")
    return " ".join(words[:2])
