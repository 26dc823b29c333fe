"""Which content coding an Accept-Encoding field asks for (RFC 9110 §12.5.3). Pure."""

from functools import lru_cache

GZIP = "gzip"
IDENTITY = "identity"
FIELD_LENGTH_MAX = 1024
_NAMES = {"gzip": GZIP, "x-gzip": GZIP}  # RFC 9110 §8.4.1.3


@lru_cache(maxsize=256)
def choose(field: str | None) -> str:
    """GZIP where the field prefers it to none or says no less of it, else IDENTITY.

    What cannot be read asks for nothing; nobody is refused over it, since everybody can read
    what is not coded.
    """
    if field is None or len(field) > FIELD_LENGTH_MAX:
        return IDENTITY
    weights: dict[str, float] = {}
    for each in field.lower().split(","):
        name, _, parameter = each.partition(";")
        name = name.strip(" \t")
        weights.setdefault(_NAMES.get(name, name), _weight(parameter.strip(" \t")))
    anything = weights.get("*", 0.0)
    gzip = weights.get(GZIP, anything)
    return GZIP if gzip > 0 and gzip >= weights.get(IDENTITY, 0.0) else IDENTITY


def _weight(parameter: str) -> float:
    if not parameter:
        return 1.0
    name, _, value = parameter.partition("=")
    try:
        weight = float(value) if name.strip(" \t") == "q" else 0.0
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
