"""The search form: what was filled in, what it asks of the catalog, and how it looks."""

import re
from collections.abc import Iterator
from datetime import date
from urllib.parse import parse_qsl

from fileroom.dicom import match
from fileroom.dicom.match import Condition
from fileroom.http.searches import Asked
from fileroom.web.markup import Attribute, Markup, element

FIELDS_MAX = 16
TEXT_LENGTH_MAX = 128
MODALITIES = (
    *("CR", "CT", "DX", "ECG", "IO", "MG", "MR", "NM", "OP", "OPT", "PT", "PX", "RF"),
    *("RTDOSE", "RTPLAN", "RTSTRUCT", "SC", "SEG", "SM", "SR", "US", "XA"),
)
_MODALITY = re.compile(r"[A-Z0-9_ ]{1,16}")  # PS3.5 §6.2, CS


class FormError(ValueError):
    """The form says what cannot be searched for; the text is for whoever filled it in."""


def read(body: bytes) -> Asked:
    """What a sent form asks.

    Raises:
        FormError: it is no form of this page, or a field is not what it is to be.
    """
    try:
        sent = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError:
        # The error's text may repeat the value.
        raise FormError("The form could not be read.") from None
    fields = {key: value.strip() for key, value in sent}
    if len(fields) < len(sent) or not fields.keys() <= set(Asked._fields):
        raise FormError("The form could not be read.")
    if any(len(value) > TEXT_LENGTH_MAX for value in fields.values()):
        raise FormError(f"A field holds more than {TEXT_LENGTH_MAX} characters.")
    if any(ord(each) < 0x20 for value in fields.values() for each in value):
        raise FormError("A field holds characters that cannot be searched for.")
    asked = Asked(**fields)
    _check_dates(asked)
    asked = asked._replace(modality=asked.modality.upper())
    if asked.modality and _MODALITY.fullmatch(asked.modality) is None:
        raise FormError("A modality is written with capital letters and digits, as CT.")
    return asked


def _check_dates(asked: Asked) -> None:
    for each in (asked.since, asked.until):
        try:
            if each and date.fromisoformat(each).isoformat() != each:
                raise FormError("A date is written as 2026-11-24.")
        except ValueError:
            raise FormError("A date is written as 2026-11-24.") from None
    if asked.since and asked.until and asked.since > asked.until:
        raise FormError("The first day is after the last one.")


def conditions(asked: Asked) -> tuple[Condition, ...]:
    """What a search asks of the catalog."""
    return tuple(_conditions(asked))


def _conditions(asked: Asked) -> Iterator[Condition]:
    if asked.name:
        yield match.fuzzy("PatientName", asked.name)
    if asked.id:
        yield match.parse("PatientID", asked.id)
    if asked.accession:
        yield match.parse("AccessionNumber", asked.accession)
    if asked.modality:
        yield match.parse("ModalitiesInStudy", asked.modality)
    if asked.since or asked.until:
        days = f"{asked.since}\0{asked.until}".replace("-", "").replace("\0", "-")
        yield match.parse("StudyDate", days)


def form(asked: Asked, *, action: str) -> Markup:
    """The form with these fields filled in."""
    return element(
        "form",
        _field("name", "Patient name", asked.name, aria_describedby="name-hint"),
        _field("id", "Patient ID", asked.id),
        _field("accession", "Accession number", asked.accession),
        _field("modality", "Modality", asked.modality, list="modalities", maxlength=16),
        element(
            "datalist",
            (element("option", value=each) for each in MODALITIES),
            id="modalities",
        ),
        _field("since", "From", asked.since, type="date"),
        _field("until", "To", asked.until, type="date"),
        element(
            "div",
            element("button", "Search", type="submit"),
            element("a", "All studies", href=action) if any(asked) else None,
            class_="buttons",
        ),
        element(
            "small",
            "A name is found by how its parts begin, in any order; * stands for any characters.",
            id="name-hint",
        ),
        method="post",
        action=action,
        role="search",
        aria_label="Studies",
        autocomplete="off",
    )


def _field(
    name: str, label: str, value: str, *, type: str = "text", **attributes: Attribute
) -> Markup:
    if type == "text":
        attributes = {"maxlength": TEXT_LENGTH_MAX, "spellcheck": "false", **attributes}
    field = element("input", type=type, id=name, name=name, value=value, **attributes)
    return element("div", element("label", label, for_=name), field, class_="field")
