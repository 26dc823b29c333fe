"""What a node says of what it forwards."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from conform.catalog_model import DictCatalog
from conform.catalog_samples import NODE, seal_all, spooled
from fileroom.access.identity import of_address
from fileroom.catalog.forwards import NewForward, Progress
from fileroom.clock import ManualClock
from fileroom.errors import TransientError
from fileroom.forward.send import UnknownDestinationError
from fileroom.node.forwarding import Forwarding
from fileroom.node.health import Forward
from fileroom.node.settings import ForwardSettings, PeerSettings, Settings

PACS = PeerSettings(ae_title="PACS", host="192.0.2.7", port=104)
SETTINGS = Settings(peers={"pacs": PACS}, forward={"all": ForwardSettings(to="pacs")})
STUDY = "1.2.1"


class Packed:
    """Packs whose instances are named by their number and ordinal; unless they are away."""

    away = False

    async def members(self, pack):
        if self.away:
            raise TransientError("the provider is away")
        return [SimpleNamespace(sop_instance_uid=f"1.9.{pack}.{n}") for n in range(9)]


class Ledger:
    async def append(self, kind, body):
        return 0


@pytest.fixture
def packed() -> Packed:
    return Packed()


@pytest.fixture
def forwarding(packed) -> Forwarding:
    """One with a pack of three that waits for a destination."""
    clock = ManualClock()
    catalog = DictCatalog(clock)
    rows = [spooled((1, n), f"1.9.{n}", study=STUDY) for n in range(3)]
    catalog.record_spooled(rows, node_id=NODE)
    (number,) = seal_all(catalog, "pack")
    catalog.route(number, [NewForward(destination="pacs", rule="all", ordinals=(0, 1, 2))])
    clock.advance(60)
    made = Forwarding(
        SETTINGS,
        catalog=catalog,
        ledger=Ledger(),
        clock=clock,
        archive=None,
        packed=packed,
        coverage=None,
        transcoder=None,
        deciding=asyncio.Lock(),
    )
    made.catalog = catalog
    return made


def refuse(forwarding: Forwarding, *ordinals: int) -> None:
    row = forwarding.catalog.forward_next("pacs", ("all",))
    left = [each for each in row.left if each not in ordinals]
    said_no = dict.fromkeys(ordinals, "it answered A900H")
    forwarding.catalog.put_off_forward(row, Progress(left=left, refused=said_no), error="away")


def test_status_says_what_waits_for_whom_and_for_how_long(forwarding):
    told, warnings = forwarding.status()
    assert told == {"pacs": Forward(waiting=3, oldest_s=60.0)}
    assert warnings == []


def test_what_was_refused_is_warned_of_with_the_last_error(forwarding):
    refuse(forwarding, 1, 2)
    told, warnings = forwarding.status()
    assert told == {"pacs": Forward(waiting=1, oldest_s=60.0, refused=2, last_error="away")}
    assert warnings == ["pacs refused 2 instances that were forwarded"]


async def test_what_a_paused_destination_does_not_get_is_warned_of(forwarding):
    await forwarding.pause("pacs", True, by=of_address("127.0.0.1"))
    told, warnings = forwarding.status()
    assert told["pacs"].paused
    assert warnings == ["forwarding to pacs is paused, and 3 instances wait"]
    with pytest.raises(UnknownDestinationError):
        await forwarding.pause("nobody", True, by=of_address("127.0.0.1"))


def test_what_waits_without_a_rule_or_a_peer_is_warned_of(forwarding):
    forwarding.reconfigured(msgspec.structs.replace(SETTINGS, peers={}, forward={}))
    _, warnings = forwarding.status()
    assert warnings == [
        "3 instances wait for pacs, and no peer has this name",
        "3 instances wait for pacs by rule all, which is not in the settings",
    ]


async def test_a_refused_instance_is_named_if_its_pack_can_be_read(forwarding, packed):
    refuse(forwarding, 0, 2)
    found = await forwarding.refused(STUDY)
    assert [each.sop_instance_uid for each in found] == ["1.9.1.0", "1.9.1.2"]
    assert {(each.destination, each.rule, each.reason) for each in found} == {
        ("pacs", "all", "it answered A900H")
    }
    packed.away = True
    assert [each.sop_instance_uid for each in await forwarding.refused(STUDY)] == ["", ""]
