"""What one node grants its DICOM callers, and what that costs in memory. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the door.

    Memory of one association is bounded whatever its peer sends: the receive slab
    (wire.upper_layer.SLAB_BYTES, 256 KiB, or the largest PDU and 64 KiB if that is more), a
    command set of 16 KiB, a write buffer of 64 KiB, and for each of `operations_max` instances
    what its landing holds back, 2 MiB and one chunk of 256 KiB: under 10 MiB with these defaults.
    Before it is accepted: a request of at most 1 MiB, twice over while it is read. A connection
    that says nothing costs 16 KiB.

    Attributes:
        associations_max: open at once; the next is rejected with local-limit-exceeded.
        associations_per_peer_max: the same of one principal: a peer, or an address.
        waiting_max: connections beside these that have not asked yet; more are dropped.
        pdu_size_bytes_max: the maximum length that we announce (PS3.8 §D.1).
        operations_max: outstanding at once where the peer negotiates a window (PS3.7 §D.3.3.3).
        artim_s: how long a peer may take to ask, and to close (PS3.8 §9.1.5).
        idle_timeout_s: silence of an open association after which we abort it.
    """

    associations_max: int = 64
    associations_per_peer_max: int = 32
    waiting_max: int = 64
    pdu_size_bytes_max: int = 131_072
    operations_max: int = 4
    artim_s: float = 30.0
    idle_timeout_s: float = 60.0
