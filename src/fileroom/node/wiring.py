"""Gives each room of a node what it may touch, and nothing more."""

from functools import partial

from fileroom.audit.coverage import Coverage
from fileroom.audit.publish import Publisher
from fileroom.catalog.lifecycle import CopyState
from fileroom.dimse.dispatch import Dispatch
from fileroom.dimse.provision import Provision
from fileroom.http.request import Limits, Service
from fileroom.ingest.at_risk import note_damaged
from fileroom.ingest.commit import CommitStage
from fileroom.ingest.duplicates import Sorter
from fileroom.ingest.evict import EvictStage
from fileroom.ingest.receive import Receiver
from fileroom.ingest.replicate import ReplicateStage
from fileroom.ingest.seal import SealStage, Settings
from fileroom.ingest.verify import VerifyStage
from fileroom.node.commitments import Commitments
from fileroom.node.completeness import Completeness
from fileroom.node.config import site_zone
from fileroom.node.configuration import Configuration
from fileroom.node.decisions import Decisions
from fileroom.node.forwarding import Forwarding
from fileroom.node.node import Node
from fileroom.node.parts import Parts
from fileroom.node.peers import Peers
from fileroom.policy import placement
from fileroom.recovery.adopt import Adopter
from fileroom.recovery.awaited import awaited
from fileroom.recovery.rebuild import Rebuilder
from fileroom.recovery.replay import Replay
from fileroom.recovery.respool import Respool
from fileroom.retrieve.archive import Archive
from fileroom.retrieve.cache import BlockCache
from fileroom.retrieve.packed import PackedDataSets
from fileroom.retrieve.packs import PackSource
from fileroom.retrieve.render import Renderer
from fileroom.retrieve.thumbnails import Thumbnails
from fileroom.retrieve.transcode import Transcoder
from fileroom.spool.reader import SpoolReader

BEST_FIRST = (
    CopyState.VERIFIED,
    CopyState.REPLICATED,
    CopyState.PENDING,
    CopyState.SUSPECT,
    CopyState.LOST,
)


def wired(parts: Parts) -> Node:
    """The node of these parts."""
    node = Node(parts)
    node.coverage = Coverage(parts.ledger, parts.clock)
    node.publishers = [
        Publisher(parts.ledger, each, signing_seed=parts.keyring.ledger_signing_seed)
        for each in parts.providers.values()
    ]
    spool = SpoolReader(parts.folder.spool, key=parts.keyring.spool_key)
    packs = _packs(parts)
    node.archive = _archive(parts, packs, spool)
    node.receiver = _receiver(parts, node)
    node.peers = Peers(parts.settings)
    node.completeness = Completeness(
        parts.settings,
        catalog=parts.catalog,
        clock=parts.clock,
        arrivals=node.receiver.arrivals,
    )
    packed = PackedDataSets(parts.catalog, packs, in_use=parts.providers.keys())
    node.decisions = Decisions(
        parts.settings,
        catalog=parts.catalog,
        ledger=parts.ledger,
        clock=parts.clock,
        packed=packed,
        spool=spool,
        settled=parts.intake.settled,
        complete=partial(_complete, parts),
        deciding=node.deciding,
    )
    transcoder = Transcoder()
    node.forwarding = _forwarding(parts, node, packed, transcoder)
    node.service = _service(parts, node, transcoder)
    node.commitments = _commitments(parts, node, packed, spool)
    node.provision = _provision(parts, node, transcoder)
    sorter = Sorter(
        catalog=parts.catalog,
        spool=spool,
        packed=packed,
        complete=partial(_complete, parts),
    )
    node.seal = _seal(parts, node, sorter)
    _copying(parts, node)
    node.evict = _evict(parts, packs)
    node.replay = Replay(catalog=parts.catalog, ledger=parts.ledger)
    node.configuration = Configuration(
        parts.ledger,
        node.replay,
        node_id=parts.node_id,
        key=parts.keyring.ledger_body_key,
        deciding=node.deciding,
    )
    node.rebuilder = _rebuilder(parts, node, packs)
    return node


def _archive(parts: Parts, packs: PackSource, spool: SpoolReader) -> Archive:
    return Archive(
        catalog=parts.catalog,
        intake=parts.intake,
        packs=packs,
        spool=spool,
        complete=partial(_complete, parts),
    )


def _receiver(parts: Parts, node: Node) -> Receiver:
    return Receiver(
        spool=parts.spool,
        intake=parts.intake,
        ledger=parts.ledger,
        clock=parts.clock,
        partition=parts.settings.site.partition,
        refused=node.note_refused,
        refuse_programs=parts.settings.receive.programs == "refuse",
    )


def _service(parts: Parts, node: Node, transcoder: Transcoder) -> Service:
    http = parts.settings.http
    renderer = Renderer()
    return Service(
        archive=node.archive,
        receiver=node.receiver,
        coverage=node.coverage,
        transcoder=transcoder,
        renderer=renderer,
        thumbnails=Thumbnails(renderer),
        partition=parts.settings.site.partition,
        limits=Limits(body_bytes_max=http.request_size_bytes_max, idle_s=http.idle_timeout_s),
        tasks=node.tasks,
        peers=node.peers,
        completeness=node.completeness.stage,
        conflicts=node.decisions.conflicts,
        forwards=node.forwarding,
        rejections=node.decisions.rejections,
        viewer_directory=parts.folder.viewer,
    )


def _provision(parts: Parts, node: Node, transcoder: Transcoder) -> Provision:
    return Provision(
        archive=node.archive,
        coverage=node.coverage,
        commitment=node.commitments.desk,
        dispatch=Dispatch(
            transcoder=transcoder, destination=node.peers.destination, clock=parts.clock
        ),
        partition=parts.settings.site.partition,
        ae_title=parts.settings.dimse.ae_title,
        timezone=site_zone(parts.settings),
    )


def _commitments(
    parts: Parts, node: Node, packed: PackedDataSets, spool: SpoolReader
) -> Commitments:
    return Commitments(
        parts.settings,
        catalog=parts.catalog,
        ledger=parts.ledger,
        clock=parts.clock,
        packed=packed,
        spool=spool,
        settled=parts.intake.settled,
        complete=partial(_complete, parts),
        deciding=node.deciding,
    )


def _forwarding(
    parts: Parts, node: Node, packed: PackedDataSets, transcoder: Transcoder
) -> Forwarding:
    return Forwarding(
        parts.settings,
        catalog=parts.catalog,
        ledger=parts.ledger,
        clock=parts.clock,
        archive=node.archive,
        packed=packed,
        coverage=node.coverage,
        transcoder=transcoder,
        deciding=node.deciding,
    )


def _complete(parts: Parts) -> bool:
    return awaited(parts.catalog) == []


def _packs(parts: Parts) -> PackSource:
    def copies(pack: int) -> list[str]:
        found = sorted(parts.catalog.copies(pack), key=lambda each: BEST_FIRST.index(each.state))
        return [each.provider for each in found]

    cache = BlockCache(
        parts.folder.cache, disk=parts.disk, size_bytes_max=parts.settings.cache.size_bytes
    )
    return PackSource(
        packs_directory=parts.folder.packs,
        study_key=parts.keyring.study_key,
        copies=copies,
        providers=parts.providers,
        cache=cache,
        damaged=partial(note_damaged, catalog=parts.catalog, ledger=parts.ledger),
    )


def _seal(parts: Parts, node: Node, sorter: Sorter) -> SealStage:
    return SealStage(
        Settings(
            site=parts.settings.site.name,
            node_id=parts.node_id,
            quiet_s=parts.settings.seal.quiet_s,
            target_size_bytes=parts.settings.seal.target_size_bytes,
        ),
        catalog=parts.catalog,
        keyring=parts.keyring,
        ledger=parts.ledger,
        workshop=parts.workshop,
        sorter=sorter,
        clock=parts.clock,
        busy=node.receiver.busy,
        pressure=node.spool_pressure,
    )


def _copying(parts: Parts, node: Node) -> None:
    """The stages from the local pack to COMMITTED."""
    node.replicate = ReplicateStage(
        catalog=parts.catalog,
        keyring=parts.keyring,
        ledger=parts.ledger,
        providers=parts.providers,
        packs_directory=parts.folder.packs,
        copies_min=parts.settings.placement.copies_min,
    )
    node.verify = VerifyStage(
        catalog=parts.catalog,
        keyring=parts.keyring,
        ledger=parts.ledger,
        clock=parts.clock,
        providers=parts.providers,
    )
    node.commit = CommitStage(
        catalog=parts.catalog,
        ledger=parts.ledger,
        rule=_rule(parts),
        sites=parts.sites,
    )


def _rule(parts: Parts) -> placement.Rule:
    return placement.Rule(copies_min=parts.settings.placement.copies_min)


def _evict(parts: Parts, packs: PackSource) -> EvictStage:
    return EvictStage(
        catalog=parts.catalog,
        ledger=parts.ledger,
        spool=parts.spool,
        disk=parts.disk,
        clock=parts.clock,
        packs_directory=parts.folder.packs,
        node_id=parts.node_id,
        local_size_bytes_max=parts.settings.local.packs_size_bytes,
        reserve_bytes=parts.settings.spool.reserve_bytes,
        rule=_rule(parts),
        sites=parts.sites,
        leaving=packs.forget,
    )


def _rebuilder(parts: Parts, node: Node, packs: PackSource) -> Rebuilder:
    return Rebuilder(
        catalog=parts.catalog,
        keyring=parts.keyring,
        packs_directory=parts.folder.packs,
        keyring_directory=parts.folder.keyring,
        providers=parts.providers,
        adopter=Adopter(
            catalog=parts.catalog,
            clock=parts.clock,
            node_id=parts.node_id,
            metadata=packs.metadata,
        ),
        replay=node.replay,
        respool=Respool(catalog=parts.catalog, spool=parts.spool, node_id=parts.node_id),
        disk=parts.disk,
    )
