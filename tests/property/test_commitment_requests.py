"""Requests for storage commitment: whatever the bytes, and whatever the UIDs."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileroom.catalog.references import digest_of, folded, unfolded
from fileroom.dicom.commitment import Reference, Request, Result, read_request
from fileroom.dicom.instance_error import InstanceError

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
UIDS = st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,4}){0,5}", fullmatch=True)
REFERENCES = st.sets(st.builds(Reference, UIDS, UIDS), min_size=1, max_size=30).map(
    lambda found: tuple(sorted(found))
)
SYNTAXES = st.sampled_from([IMPLICIT, EXPLICIT, BIG])


@given(REFERENCES)
def test_references_are_unfolded_as_they_were(references):
    assert unfolded(folded(references)) == references
    assert digest_of(unfolded(folded(reversed(references)))) == digest_of(references)


@given(REFERENCES, REFERENCES)
def test_other_references_have_another_digest(some, others):
    assert (digest_of(some) == digest_of(others)) == (some == others)


@given(REFERENCES, UIDS, SYNTAXES)
def test_a_result_without_failures_reads_as_the_request_that_it_is_about(
    references, transaction, syntax
):
    result = Result(transaction, references, [None] * len(references), "ARCHIVE")
    data = b"".join(result.data_set(syntax))
    assert read_request(data, syntax) == Request(transaction, references)


@given(st.data(), REFERENCES, SYNTAXES)
def test_whatever_the_bytes_a_request_is_read_or_refused(data, references, syntax):
    result = Result("1.2.3", references, [None] * len(references), "ARCHIVE")
    spoilt = bytearray(b"".join(result.data_set(syntax)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InstanceError):
        read_request(bytes(spoilt), syntax)


@given(st.binary(max_size=300), SYNTAXES)
def test_rubbish_is_no_request(rubbish, syntax):
    with pytest.raises(InstanceError):
        read_request(rubbish, syntax)
