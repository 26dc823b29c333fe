"""What we answer to a request to associate."""

from dataclasses import replace

import pytest
from pydicom._uid_dict import UID_dictionary
from pynetdicom.pdu import A_ASSOCIATE_AC

from fileroom.wire import pdu, presentation, transfer_syntax
from fileroom.wire.negotiation import Offer, answer, operations_max
from fileroom.wire.pdu import ContextResult, ProposedContext
from fileroom.wire.sop_class import STUDY_ROOT_FIND, VERIFICATION
from fileroom.wire.user_information import (
    AsyncOperations,
    RoleSelection,
    SopClassCommonExtended,
    SopClassExtended,
    UserIdentity,
)
from wire_talk import CT, EXPLICIT, REQUEST

IMPLICIT = "1.2.840.10008.1.2"
JPEG = "1.2.840.10008.1.2.4.50"
BIG, RLE = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"
MPEG4 = "1.2.840.10008.1.2.4.102"
PRIVATE = "1.2.999.1"
OFFER = Offer(
    is_storable=lambda uid: uid.startswith("1.2.840.10008.5.1.4.1.1."),
    others={VERIFICATION: True, STUDY_ROOT_FIND: True},
    extended={STUDY_ROOT_FIND: bytes([1, 0, 1])},
    storage=True,
    retrieval=False,
    max_length_bytes=131072,
    operations_max=4,
    implementation_class_uid="2.25.1",
    implementation_version_name="FILEROOM_0_1",
)


def contexts(*proposed: tuple[str, ...], offer: Offer = OFFER, **user: object):
    request = replace(
        REQUEST,
        contexts=tuple(
            ProposedContext(2 * index + 1, abstract, tuple(syntaxes))
            for index, (abstract, *syntaxes) in enumerate(proposed)
        ),
        user=replace(REQUEST.user, **user),
        titles=b"t" * 64,
    )
    answered = answer(request, offer)
    assert answered.titles == request.titles
    assert [each.context_id for each in answered.contexts] == [
        each.context_id for each in request.contexts
    ]
    return answered


def results(*proposed: tuple[str, ...], **options: object) -> list[object]:
    return [
        each.transfer_syntax if each.result == 0 else ContextResult(each.result)
        for each in contexts(*proposed, **options).contexts
    ]


def test_the_first_transfer_syntax_that_can_be_kept_is_taken():
    assert results(
        (CT, JPEG, EXPLICIT), (CT, EXPLICIT, JPEG), (CT, "1.2.840.113619.5.2", IMPLICIT)
    ) == [JPEG, EXPLICIT, IMPLICIT]


def test_what_cannot_be_taken_is_refused_with_its_reason():
    assert results(
        (VERIFICATION, IMPLICIT),
        (VERIFICATION, JPEG),
        (CT, "1.2.840.113619.5.2"),
        (CT,),
        ("1.2.840.10008.5.1.4.31", IMPLICIT),  # Modality Worklist: not offered
        ("", IMPLICIT),
    ) == [
        IMPLICIT,
        ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED,
        ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED,
        ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED,
        ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED,
        ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED,
    ]


def test_a_service_that_the_caller_may_not_use_is_refused_by_the_user():
    offer = replace(OFFER, storage=False)
    assert results((VERIFICATION, IMPLICIT), (CT, IMPLICIT), offer=offer) == [
        IMPLICIT,
        ContextResult.USER_REJECTION,
    ]


def test_every_transfer_syntax_that_pydicom_knows_can_be_kept():
    known = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
    no_data_set = {
        "1.2.840.10008.1.2.6.1",  # RFC 2557 MIME encapsulation
        "1.2.840.10008.1.2.6.2",  # XML encoding
        "1.2.840.10008.1.20",  # Papyrus 3
    }
    assert known - no_data_set <= transfer_syntax.STORABLE
    assert not no_data_set & transfer_syntax.STORABLE


def test_a_class_that_the_peer_says_is_stored_like_others_is_taken():
    announced = (SopClassCommonExtended(PRIVATE, "1.2.840.10008.4.2"),)
    assert results((PRIVATE, EXPLICIT)) == [ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED]
    assert results((PRIVATE, EXPLICIT), common_extended=announced) == [EXPLICIT]
    other = (SopClassCommonExtended(PRIVATE, "1.2.840.10008.4.1"),)
    assert results((PRIVATE, EXPLICIT), common_extended=other) == [
        ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    ]


def test_the_requestor_stays_the_one_who_asks():
    both = (RoleSelection(CT, scu=True, scp=True), RoleSelection(PRIVATE, scu=True, scp=True))
    answered = contexts((CT, EXPLICIT), roles=both)
    assert answered.contexts[0].result == ContextResult.ACCEPTANCE
    assert answered.user.roles == (RoleSelection(CT, scu=True, scp=False),)
    reverse = (RoleSelection(CT, scu=False, scp=True),)
    answered = contexts((CT, EXPLICIT), roles=reverse)
    assert answered.contexts[0].result == ContextResult.USER_REJECTION
    assert answered.user.roles == ()


def test_whoever_may_retrieve_may_have_instances_sent_to_it():
    offer = replace(OFFER, retrieval=True)
    for asked, agreed in (((False, True), (False, True)), ((True, True), (True, True))):
        roles = (RoleSelection(CT, *asked),)
        answered = contexts((CT, EXPLICIT), offer=offer, roles=roles)
        assert answered.user.roles == (RoleSelection(CT, *agreed),)
        accepted = presentation.agreed(
            replace(REQUEST, contexts=(ProposedContext(1, CT, (EXPLICIT,)),)), answered
        )
        assert accepted[1].requestor_is_scp
    # Of the services that are not storage the requestor is always the SCU.
    roles = (RoleSelection(STUDY_ROOT_FIND, scu=True, scp=True),)
    answered = contexts((STUDY_ROOT_FIND, EXPLICIT), offer=offer, roles=roles)
    assert answered.user.roles == (RoleSelection(STUDY_ROOT_FIND, scu=True, scp=False),)
    plain = contexts((CT, EXPLICIT), offer=offer)
    request = replace(REQUEST, contexts=(ProposedContext(1, CT, (EXPLICIT,)),))
    assert not presentation.agreed(request, plain)[1].requestor_is_scp


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ((JPEG, IMPLICIT, EXPLICIT), EXPLICIT),
        ((BIG, JPEG, IMPLICIT), IMPLICIT),
        ((JPEG, RLE), JPEG),
        ((BIG, RLE), RLE),
        ((BIG,), ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED),
    ],
)
def test_what_can_hold_everything_is_taken_where_instances_are_sent_to_the_peer(proposed, chosen):
    offer, roles = replace(OFFER, retrieval=True), (RoleSelection(CT, scu=False, scp=True),)
    assert results((CT, *proposed), offer=offer, roles=roles) == [chosen]
    # Of those that it sends us its own order counts.
    assert results((CT, *proposed), offer=offer) == [proposed[0]]


def test_a_video_is_taken_as_a_video():
    video = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
    offer, roles = replace(OFFER, retrieval=True), (RoleSelection(video, scu=False, scp=True),)
    assert results((video, MPEG4, EXPLICIT), offer=offer, roles=roles) == [MPEG4]


@pytest.mark.parametrize(
    ("asked", "answered", "outstanding"),
    [
        (None, None, 1),
        (AsyncOperations(1, 1), AsyncOperations(1, 1), 1),
        (AsyncOperations(3, 0), AsyncOperations(3, 1), 3),
        (AsyncOperations(0, 0), AsyncOperations(4, 1), 4),
        (AsyncOperations(65535, 9), AsyncOperations(4, 1), 4),
    ],
)
def test_the_window_is_what_was_asked_for_within_our_limit(asked, answered, outstanding):
    found = contexts((CT, EXPLICIT), async_operations=asked)
    assert found.user.async_operations == answered
    assert operations_max(found) == outstanding


def test_an_identity_is_neither_confirmed_nor_repeated():
    identity = UserIdentity(1, True, b"someone")
    assert contexts((CT, EXPLICIT), user_identity=identity).user.user_identity_answer is None


def test_storage_says_that_it_keeps_every_element_as_it_came():
    extended = (
        SopClassExtended(CT, b"\2\0\3\0\1\0"),
        SopClassExtended(CT, b""),
        SopClassExtended(PRIVATE, b"\1"),
    )
    answered = contexts((CT, EXPLICIT), extended=extended)
    assert answered.user.extended == (SopClassExtended(CT, bytes([2, 0, 3, 0, 0, 0])),)


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        (bytes([1]), [bytes([1])]),
        (bytes([1, 1, 0]), [bytes([1, 0, 0])]),
        (bytes([0, 1, 1, 1, 1]), [bytes([0, 0, 1])]),  # what a later edition may add
        (bytes([2, 1, 0xFF]), [bytes([0, 0, 0])]),
        (b"", []),
    ],
)
def test_extended_behaviour_is_agreed_where_both_sides_have_it(asked, agreed):
    """PS3.4 §C.5.1.1."""
    extended = (SopClassExtended(STUDY_ROOT_FIND, asked), SopClassExtended(VERIFICATION, asked))
    proposed = ((STUDY_ROOT_FIND, EXPLICIT), (VERIFICATION, EXPLICIT))
    answered = contexts(*proposed, extended=extended).user.extended
    assert answered == tuple(SopClassExtended(STUDY_ROOT_FIND, each) for each in agreed)
    assert contexts((VERIFICATION, EXPLICIT), extended=extended).user.extended == ()


def test_pynetdicom_reads_our_answer():
    answered = contexts(
        (CT, EXPLICIT),
        (PRIVATE, EXPLICIT),
        roles=(RoleSelection(CT, scu=True, scp=True),),
        async_operations=AsyncOperations(0, 0),
        extended=(SopClassExtended(CT, b"\1"),),
    )
    theirs = A_ASSOCIATE_AC()
    theirs.decode(pdu.encode(answered))
    read = theirs.to_primitive()
    assert read.maximum_length_received == 131072
    assert read.implementation_class_uid == "2.25.1"
    found = read.presentation_context_definition_results_list
    assert [(each.context_id, each.result) for each in found] == [(1, 0), (3, 3)]
    kinds = {type(each).__name__: each for each in read.user_information}
    name = kinds["ImplementationVersionNameNotification"].implementation_version_name
    assert name == "FILEROOM_0_1"
    assert kinds["AsynchronousOperationsWindowNegotiation"].maximum_number_operations_invoked == 4
    assert kinds["SCP_SCU_RoleSelectionNegotiation"].scu_role is True
    assert kinds["SOPClassExtendedNegotiation"].service_class_application_information == bytes(
        [2, 0, 3, 0, 0, 0]
    )
