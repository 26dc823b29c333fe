"""COMMITTED rests on verified copies of pack and keys on distinct providers (invariant 5)."""

import pytest

from fileroom.policy.placement import ONE_COPY_SAME_DISK, Rule, Site, decide

SITES = {
    "here": Site(disk="sda", own_disk=True),
    "here-too": Site(disk="sda", own_disk=True),
    "nas": Site(disk="nas", own_disk=False),
    "s3": Site(disk="", own_disk=False),
    "azure": Site(disk="", own_disk=False),
}


def decided(copies, key_copies=None, *, site_key_copies=None, copies_min=1, sites=SITES):
    return decide(
        copies=copies,
        key_copies=copies if key_copies is None else key_copies,
        site_key_copies=copies if site_key_copies is None else site_key_copies,
        rule=Rule(copies_min),
        sites=sites,
    )


@pytest.mark.parametrize(
    ("copies", "key_copies", "copies_min", "committed"),
    [
        ([], [], 1, False),
        (["s3"], ["s3"], 1, True),
        (["s3"], [], 1, False),
        ([], ["s3"], 1, False),
        (["s3"], ["azure"], 1, False),
        (["s3"], ["s3"], 2, False),
        (["s3", "s3"], ["s3", "s3"], 2, False),
        (["s3", "azure"], ["s3", "azure"], 2, True),
        (["s3", "azure"], ["s3"], 2, False),
        (["s3", "azure"], ["s3"], 1, True),
        (["here", "here-too"], ["here", "here-too"], 2, False),
        (["here", "here-too", "nas"], ["here", "here-too", "nas"], 2, True),
        (["here", "s3", "azure"], ["here", "s3", "azure"], 3, True),
        (["gone"], ["gone"], 1, False),
    ],
)
def test_a_pack_is_committed_by_this_table(copies, key_copies, copies_min, committed):
    assert decided(copies, key_copies, copies_min=copies_min).committed is committed


@pytest.mark.parametrize(
    ("site_key_copies", "copies_min", "committed"),
    [
        ([], 1, False),
        (["nas"], 1, False),
        (["s3"], 1, True),
        (["s3"], 2, False),
        (["s3", "azure"], 2, True),
    ],
)
def test_a_provider_without_the_site_key_holds_nothing_that_opens(
    site_key_copies, copies_min, committed
):
    placement = decided(["s3", "azure"], site_key_copies=site_key_copies, copies_min=copies_min)
    assert placement.committed is committed


def test_one_copy_on_the_nodes_own_disk_counts_with_a_warning():
    placement = decided(["here"])
    assert placement.committed
    assert placement.warnings == (ONE_COPY_SAME_DISK,)
    assert decided(["here", "here-too"]).warnings == (ONE_COPY_SAME_DISK,)
    assert decided(["here", "nas"]).warnings == ()
    assert decided(["s3"]).warnings == ()


def test_the_reason_says_what_is_lacking():
    placement = decided(
        ["here", "here-too", "s3", "nas", "gone"],
        ["here", "here-too", "nas", "gone"],
        site_key_copies=["here", "here-too", "s3", "gone"],
        copies_min=2,
    )
    assert placement.reason == (
        "1 of 2 verified copies with their keys, 1 without their key, 1 without the site key, "
        "1 on a disk that counts already, 1 of unknown site"
    )
    assert decided(["s3"]).reason == "1 of 1 verified copies with their keys"


def test_the_providers_that_count_are_named():
    assert decided(["s3", "here", "azure"], ["s3", "here"]).providers == ("here", "s3")
