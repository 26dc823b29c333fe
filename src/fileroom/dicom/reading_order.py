"""The order in which a series is read: along its slices, else as it is numbered. Pure."""

from math import isfinite, sqrt
from typing import TypeAlias

from fileroom.dicom.header import Header

OrderKey: TypeAlias = tuple[int, float, float, str]
_BY_POSITION, _BY_NUMBER, _BY_UID = range(3)


def order_key(header: Header) -> OrderKey:
    """A key that sorts the instances of one series.

    Slices with a position in the patient come first, along the normal of their plane
    (PS3.3 §C.7.6.2.1.1), several at one place by Instance Number; then those that are only
    numbered, then the rest. The SOP Instance UID makes the order of equals the same every time.
    """
    number = _number(header.attributes.get("InstanceNumber", ""))
    position = _distance_along_normal(header)
    if position is not None:
        return _BY_POSITION, position, number or 0.0, header.sop_instance_uid
    if number is not None:
        return _BY_NUMBER, number, 0.0, header.sop_instance_uid
    return _BY_UID, 0.0, 0.0, header.sop_instance_uid


def _distance_along_normal(header: Header) -> float | None:
    """Millimetres from the origin of the frame of reference to the slice's plane."""
    position = _numbers(header.attributes.get("ImagePositionPatient", ""), 3)
    orientation = _numbers(header.attributes.get("ImageOrientationPatient", ""), 6)
    if position is None or orientation is None:
        return None
    (ax, ay, az), (bx, by, bz) = orientation[:3], orientation[3:]
    normal = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    length = sqrt(sum(each * each for each in normal))
    if not 0.5 < length < 2:  # rows and columns that are no unit vectors span no plane
        return None
    distance = sum(n * p for n, p in zip(normal, position, strict=True)) / length
    # Positions are written with a few decimals; a thousandth of a millimetre is one place.
    return round(distance, 3) + 0.0 if isfinite(distance) else None


def _numbers(text: str, count: int) -> list[float] | None:
    values = [_number(each) for each in text.split("\\")]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) == count else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
