"""PDUs read and written as other implementations read and write them."""

import pytest

from fileroom.wire import ae_title, pdu, user_information
from fileroom.wire.item import AbortReason, AbortSource, MalformedPduError
from fileroom.wire.pdu import ContextResult, PduType
from fileroom.wire.user_information import (
    AsyncOperations,
    RoleSelection,
    SopClassCommonExtended,
    SopClassExtended,
    UserIdentity,
    UserInformation,
)
from golden import wire_pdus as golden

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def decoded(data: bytes) -> pdu.Pdu:
    assert int.from_bytes(data[2:6], "big") == len(data) - 6
    return pdu.decode(data[0], data[6:])


def test_a_request_of_dcmtk_is_read_field_by_field():
    assert decoded(golden.ECHOSCU_ASSOCIATE_RQ) == pdu.AssociateRequest(
        called_ae_title="ANY-SCP",
        calling_ae_title="ECHOSCU",
        contexts=(pdu.ProposedContext(1, "1.2.840.10008.1.1", (IMPLICIT,)),),
        user=UserInformation(
            max_length_bytes=16384,
            implementation_class_uid="1.2.276.0.7230010.3.0.3.6.7",
            implementation_version_name="OFFIS_DCMTK_367",
        ),
        application_context="1.2.840.10008.3.1.1.1",
        protocol_version=1,
    )


def test_the_request_that_dcmtk_sends_is_what_we_would_send():
    sent = golden.ECHOSCU_ASSOCIATE_RQ
    ours = pdu.encode(decoded(sent))
    assert ours == sent.replace(b"\x01\x00\xff\x00\x30", b"\x01\x00\x00\x00\x30")  # reserved: 00H


def test_an_answer_of_dcmtk_is_read_and_is_what_we_would_send():
    answer = decoded(golden.STORESCP_ASSOCIATE_AC)
    assert isinstance(answer, pdu.AssociateAccept)
    assert answer.contexts == (pdu.AnsweredContext(1, ContextResult.ACCEPTANCE, IMPLICIT),)
    assert answer.user.max_length_bytes == 16384
    assert pdu.encode(answer) == golden.STORESCP_ASSOCIATE_AC


def test_an_answer_may_leave_the_transfer_syntax_of_a_refused_context_empty():
    answer = decoded(golden.MERGECOM_ASSOCIATE_AC)
    assert isinstance(answer, pdu.AssociateAccept)
    assert answer.contexts == (
        pdu.AnsweredContext(1, ContextResult.ACCEPTANCE, EXPLICIT),
        pdu.AnsweredContext(3, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, ""),
    )
    assert answer.user.implementation_version_name == "MergeCOM3_390IB2"


def test_role_selection_of_a_retrieving_peer_is_read():
    request = decoded(golden.GETSCU_ASSOCIATE_RQ)
    assert isinstance(request, pdu.AssociateRequest)
    assert request.user.roles == (RoleSelection(CT, scu=False, scp=True),)


def test_identity_window_and_extended_negotiation_are_read_in_any_order():
    request = decoded(golden.EXTENDED_ASSOCIATE_RQ)
    assert isinstance(request, pdu.AssociateRequest)
    assert request.user == UserInformation(
        max_length_bytes=16382,
        implementation_class_uid="1.2.826.0.1.3680043.9.3811.0.9.0",
        implementation_version_name="PYNETDICOM_090",
        async_operations=AsyncOperations(5, 5),
        extended=(
            SopClassExtended(CT, bytes([2, 0, 3, 0, 1, 0])),
            SopClassExtended(MR, bytes([2, 0, 3, 0, 1, 0])),
        ),
        user_identity=UserIdentity(1, True, b"pynetdicom", b""),
    )


SUB_ITEMS = {
    "max_length": UserInformation(max_length_bytes=16382),
    "implementation_class_uid": UserInformation(
        implementation_class_uid="1.2.826.0.1.3680043.9.3811.0.9.0"
    ),
    "implementation_class_uid_empty": UserInformation(),
    "async_operations": UserInformation(async_operations=AsyncOperations(5, 5)),
    "role_selection": UserInformation(roles=(RoleSelection(CT, False, True),)),
    "implementation_version_name": UserInformation(implementation_version_name="PYNETDICOM_090"),
    "extended": UserInformation(extended=(SopClassExtended(CT, bytes([2, 0, 3, 0, 1, 0])),)),
    "common_extended": UserInformation(
        common_extended=(
            SopClassCommonExtended(MR, "1.2.840.10008.4.2", ("1.2.840.10008.5.1.4.1.1.88.22",)),
        )
    ),
    "user_identity": UserInformation(
        user_identity=UserIdentity(2, False, b"pynetdicom", b"p4ssw0rd")
    ),
    "user_identity_answer": UserInformation(user_identity_answer=b"Accepted"),
}


@pytest.mark.parametrize("name", golden.SUB_ITEMS)
def test_each_sub_item_is_read_and_written_as_others_write_it(name):
    data = golden.SUB_ITEMS[name]
    assert user_information.decode(data, 0, len(data)) == SUB_ITEMS[name]
    assert data in user_information.encode(SUB_ITEMS[name])


def test_unknown_items_and_sub_items_are_passed_over():
    request = golden.ECHOSCU_ASSOCIATE_RQ
    strange = golden.octets("F1 00 0003 'abc'")
    body = (request[6:] + strange).replace(
        golden.octets("50 00 003A"), strange + golden.octets("50 00 0041") + strange
    )
    assert pdu.decode(PduType.ASSOCIATE_RQ, body) == decoded(request)


def test_a_user_identity_is_never_printed():
    assert "p4ssw0rd" not in repr(SUB_ITEMS["user_identity"])
    assert "pynetdicom" not in repr(SUB_ITEMS["user_identity"])


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (golden.STORESCP_ASSOCIATE_RJ, pdu.AssociateReject(1, 1, 2)),
        (golden.RELEASE_RQ, pdu.ReleaseRequest()),
        (golden.RELEASE_RP, pdu.ReleaseReply()),
        (golden.USER_ABORT, pdu.Abort(AbortSource.USER)),
        (
            golden.PROVIDER_ABORT,
            pdu.Abort(AbortSource.PROVIDER, AbortReason.UNRECOGNIZED_PARAMETER),
        ),
        (
            golden.ECHOSCU_P_DATA_TF + golden.ECHOSCU_C_ECHO_RQ,
            pdu.DataTransfer((pdu.PresentationDataValue(1, True, True, golden.ECHOSCU_C_ECHO_RQ),)),
        ),
    ],
)
def test_the_short_pdus_are_read_and_written_as_others_write_them(data, value):
    assert decoded(data) == value
    assert pdu.encode(value) == data


def test_one_data_transfer_may_hold_several_values():
    values = (
        pdu.PresentationDataValue(1, True, True, b"ab"),
        pdu.PresentationDataValue(3, False, False, b""),
    )
    data = golden.octets("04 00 0000000E 00000004 01 03 'ab' 00000002 03 00")
    assert pdu.encode(pdu.DataTransfer(values)) == data
    assert decoded(data) == pdu.DataTransfer(values)


@pytest.mark.parametrize(
    ("field", "title"),
    [
        (b"STORESCU        ", "STORESCU"),
        (b"  A B           ", "A B"),  # spaces at the ends mean nothing, between they do
        (b"C-STRING\0\0\0\0\0\0\0\0", "C-STRING"),
        (b"SIXTEEN-LETTERS!", "SIXTEEN-LETTERS!"),
        (b"a               ", "a"),
    ],
)
def test_an_ae_title_is_taken_without_its_padding(field, title):
    assert ae_title.parse(field) == title


@pytest.mark.parametrize(
    "field",
    [
        b" " * 16,
        b"\0" * 16,
        b"A\nB             ",
        b"A\0B             ",
        b"\x1b[31mRED        ",
        b"BACK\\SLASH      ",
        "KÖLN            ".encode("latin-1"),
        b"DEL\x7f            ",
    ],
)
def test_an_ae_title_outside_the_default_repertoire_is_refused(field):
    with pytest.raises(MalformedPduError) as refused:
        ae_title.parse(field)
    assert refused.value.reason is AbortReason.INVALID_PARAMETER


def test_an_ae_title_is_written_in_sixteen_bytes():
    assert ae_title.encode("FILEROOM") == b"FILEROOM        "
    for bad in ("", "SEVENTEEN-LETTERS", " LEADING", "TAB\t"):
        assert not ae_title.is_valid(bad)
        with pytest.raises(AssertionError):
            ae_title.encode(bad)
