"""Errors of every room come home from a worker process, and can be raised once more."""

import copy
import pickle

import pytest

from fileroom.dicom.instance_error import InstanceError
from fileroom.errors import FileroomError
from fileroom.retrieve.packs import UnavailableError
from fileroom.spool.failure import DamagedSegmentError, SpaceError, again

ERRORS = [
    SpaceError("4 B wanted"),
    DamagedSegmentError("frame is cut off", segment=3, offset=4096),
    InstanceError("a value is cut off", tag=0x00100010, offset=12),
    UnavailableError("no copy", retry_after_s=7),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "travel", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, again]
)
def test_an_error_arrives_as_it_left(travel, error: FileroomError):
    arrived = travel(error)
    assert arrived is not error
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))
