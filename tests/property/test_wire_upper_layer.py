"""However the network cuts the bytes, and whatever they are, an association behaves."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from fileroom.wire import ae_title, negotiation, pdu, user_information
from fileroom.wire.event import AssociateRequested, Event, MessageFragment
from fileroom.wire.message import MalformedMessageError, MessageReader
from fileroom.wire.upper_layer import SLAB_BYTES, Association
from fileroom.wire.user_information import (
    AsyncOperations,
    RoleSelection,
    SopClassCommonExtended,
    SopClassExtended,
    UserIdentity,
    UserInformation,
)
from golden import wire_pdus as golden
from wire_talk import LENGTH_BYTES_MAX, acceptor, data_pdu, events

OFFER = negotiation.Offer(
    is_storable=lambda _: True,
    others={},
    extended={},
    storage=True,
    retrieval=False,
    max_length_bytes=LENGTH_BYTES_MAX,
    operations_max=2,
    implementation_class_uid="1.2.4",
    implementation_version_name="",
)
values = st.tuples(st.sampled_from([1, 1, 1, 3]), st.integers(0, 255), st.binary(max_size=40))
pdus = st.one_of(
    st.builds(lambda *each: data_pdu(*each), values),
    st.builds(lambda each: data_pdu(*each), st.lists(values, min_size=1, max_size=4)),
    st.sampled_from([0, 1, LENGTH_BYTES_MAX - 6, LENGTH_BYTES_MAX - 5]).map(
        lambda size_bytes: data_pdu((1, 0, bytes(size_bytes)))
    ),
    st.sampled_from(
        [
            golden.RELEASE_RQ,
            golden.RELEASE_RP,
            golden.USER_ABORT,
            golden.PROVIDER_ABORT,
            golden.ECHOSCU_ASSOCIATE_RQ,
            golden.STORESCP_ASSOCIATE_AC,
        ]
    ),
    st.builds(
        lambda kind, body: bytes([kind, 0]) + len(body).to_bytes(4, "big") + body,
        st.integers(0, 255),
        st.binary(max_size=30),
    ),
)


def copied(event: Event) -> object:
    """An event that can be compared after its buffer has gone."""
    if isinstance(event, MessageFragment):
        return event._replace(data=bytes(event.data))  # type: ignore[arg-type]
    if (problem := getattr(event, "problem", None)) is not None:
        return (event.source, event.reason, event.by_peer, str(problem))
    return event


def outcome(association: Association, pieces: list[bytes], *, through_view: bool) -> object:
    found, sent = [], b""
    for piece in pieces:
        while piece:
            taken = len(piece)
            if through_view:
                view = association.receive_view()
                taken = min(len(view), len(piece))
                view[:taken] = piece[:taken]
                association.received(taken)
            else:
                association.feed(piece)
            piece = piece[taken:]
            while (event := association.next_event()) is not None:
                found.append(copied(event))
                if isinstance(event, AssociateRequested):
                    association.accept(negotiation.answer(event.request, OFFER))
            sent += association.data_to_send()
    return found, sent, association.state, association.closing


def cut(stream: bytes, data: st.DataObject) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(sent=st.lists(pdus, max_size=6), data=st.data())
@settings(deadline=None)
def test_where_tcp_cuts_an_association_does_not_matter(sent, data):
    stream = b"".join(sent)
    whole = outcome(acceptor(), [stream], through_view=False)
    assert outcome(acceptor(), cut(stream, data), through_view=False) == whole
    assert outcome(acceptor(), cut(stream, data), through_view=True) == whole


@given(sent=st.lists(pdus, max_size=3), data=st.data())
@settings(deadline=None)
def test_where_tcp_cuts_a_request_does_not_matter(sent, data):
    stream = golden.EXTENDED_ASSOCIATE_RQ + b"".join(sent)
    whole = outcome(Association.acceptor(), [stream], through_view=False)
    assert outcome(Association.acceptor(), cut(stream, data), through_view=True) == whole


@given(noise=st.binary(max_size=400), start=st.integers(0, 433), established=st.booleans())
@settings(deadline=None)
def test_no_bytes_raise_anything_or_are_hoarded(noise, start, established):
    association = acceptor() if established else Association.acceptor()
    reader = MessageReader()
    stream = golden.EXTENDED_ASSOCIATE_RQ if not established else data_pdu((1, 3, bytes(400)))
    association.feed(stream[:start] + noise + stream[start + len(noise) :])
    for event in events(association):
        if isinstance(event, MessageFragment):
            try:
                reader.take(event)
            except MalformedMessageError as problem:
                association.abort_for(problem)
    association.data_to_send()
    limit = max(SLAB_BYTES, 2 * LENGTH_BYTES_MAX)
    assert len(association.receive_view().obj) <= limit


@given(st.binary(max_size=300))
def test_a_command_set_is_read_or_refused(data):
    with suppress(MalformedMessageError):
        MessageReader().take(MessageFragment(1, True, True, memoryview(data)))


uids = st.lists(st.integers(0, 9999), min_size=1, max_size=6).map(lambda n: ".".join(map(str, n)))
users = st.builds(
    UserInformation,
    max_length_bytes=st.sampled_from([0, 8, 16384, 0xFFFFFFFF]),
    implementation_class_uid=uids,
    implementation_version_name=st.text("A_0", max_size=16),
    async_operations=st.none()
    | st.builds(AsyncOperations, st.integers(0, 65535), st.integers(0, 65535)),
    roles=st.lists(st.builds(RoleSelection, uids, st.booleans(), st.booleans())).map(tuple),
    extended=st.lists(st.builds(SopClassExtended, uids, st.binary(max_size=9))).map(tuple),
    common_extended=st.lists(
        st.builds(SopClassCommonExtended, uids, uids, st.lists(uids).map(tuple))
    ).map(tuple),
    user_identity=st.none()
    | st.builds(UserIdentity, st.integers(1, 5), st.booleans(), st.binary(), st.binary()),
    user_identity_answer=st.none() | st.binary(),
)
titles = st.text("AZaz09 !~[]-", min_size=1, max_size=16).filter(ae_title.is_valid)
proposed = st.lists(
    st.builds(
        pdu.ProposedContext, st.integers(0, 127).map(lambda n: 2 * n + 1), uids,
        st.lists(uids, max_size=4).map(tuple),
    ),
    min_size=1,
    unique_by=lambda each: each.context_id,
)  # fmt: skip


@given(users)
def test_user_information_comes_back_as_it_went(user):
    data = user_information.encode(user)
    assert user_information.decode(data, 0, len(data)) == user


@given(called=titles, calling=titles, contexts=proposed, user=users)
def test_a_request_comes_back_as_it_went(called, calling, contexts, user):
    request = pdu.AssociateRequest(called, calling, tuple(contexts), user)
    data = pdu.encode(request)
    assert pdu.decode(data[0], data[6:]) == request
