"""What comes of which study just now."""

import pytest

from conform.catalog_samples import header
from fileroom.ingest.arrivals import Arrivals, hints_of
from fileroom.spool.record import Origin

ORIGINAL = {"ImageType": "ORIGINAL\\PRIMARY\\AXIAL", "AcquisitionNumber": "1"}


def origin(conversation="one", ae_title="CT1"):
    return Origin("dimse", ae_title, "192.0.2.1", conversation)


def test_instances_of_a_study_become_one_arrival():
    arrivals = Arrivals()
    said = ORIGINAL | {"ImagesInAcquisition": "40"}
    arrivals.came(header("1.1", **said), origin(), 5)
    arrivals.came(header("1.2", **said | {"AcquisitionNumber": "2"}), origin(ae_title="CT2"), 7)
    arrivals.came(header("1.3", study="1.2.2"), origin(), 6)
    first, second = arrivals.taken()
    assert (first.first_at_ns, first.last_at_ns, first.ae_title) == (5, 7, "CT2")
    assert first.hints == {"1.2.1.1": {"1": 40, "2": 40}}
    assert (second.study_instance_uid, second.hints) == ("1.2.2", {})
    assert arrivals.taken() == []


def test_what_could_not_be_kept_is_taken_again_with_what_came_since():
    arrivals = Arrivals()
    arrivals.came(header("1.1"), origin(ae_title="CT1"), 5)
    taken = arrivals.taken()
    arrivals.came(header("1.2"), origin(ae_title="CT2"), 9)
    arrivals.put_back(taken)
    (found,) = arrivals.taken()
    assert (found.first_at_ns, found.last_at_ns, found.ae_title) == (5, 9, "CT2")


def test_a_conversation_is_at_the_study_of_its_last_instance():
    arrivals = Arrivals()
    arrivals.came(header("1.1"), origin("one"), 1)
    arrivals.came(header("1.1"), origin("two"), 1)
    arrivals.came(header("1.2", study="1.2.2"), origin("one"), 2)
    assert (arrivals.is_open("1.2.1"), arrivals.is_open("1.2.2")) == (True, True)
    arrivals.ended("two")
    arrivals.ended("two")
    assert (arrivals.is_open("1.2.1"), arrivals.is_open("1.2.2")) == (False, True)
    arrivals.taken()
    assert arrivals.is_open("1.2.2")


@pytest.mark.parametrize(
    ("said", "images"),
    [
        (ORIGINAL | {"ImagesInAcquisition": "40"}, 40),
        (ORIGINAL, None),
        ({"ImagesInAcquisition": "40"}, None),
        ({"ImageType": "DERIVED\\SECONDARY\\MPR", "ImagesInAcquisition": "40"}, None),
        *(
            (ORIGINAL | {"ImagesInAcquisition": text}, None)
            for text in ("0", "-1", "1.5", "many", "٣", "9999999", "1" * 64, "1\\2")
        ),
    ],
)
def test_only_an_original_image_says_how_many_there_are(said, images):
    found = hints_of(header("1.1", **said))
    assert found == ({} if images is None else {"1.2.1.1": {"1": images}})
