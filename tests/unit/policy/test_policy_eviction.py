"""The local copy is the last thing dropped (invariant 6)."""

from fileroom.policy.eviction import LocalPack, choose


def chosen(packs, *, local=0, budget=100, free=1000, reserve=100):
    return [
        each.number
        for each in choose(
            packs,
            local_size_bytes=local,
            local_size_bytes_max=budget,
            free_bytes=free,
            reserve_bytes=reserve,
        )
    ]


def pack(number, *, size=10, used=0, committed=True):
    return LocalPack(number, size, used, committed)


def test_nothing_is_dropped_within_the_budget_however_old():
    assert chosen([pack(1), pack(2)], local=100, budget=100, free=100, reserve=100) == []


def test_the_longest_not_used_go_first_and_no_more_than_needed():
    packs = [pack(1, used=30), pack(2, used=10), pack(3, used=20), pack(4, used=10)]
    assert chosen(packs, local=111, budget=100) == [2, 4]
    assert chosen(packs, local=110, budget=100) == [2]
    assert chosen(packs, local=101, budget=100) == [2]


def test_what_is_not_committed_stays_under_any_pressure():
    packs = [pack(1, committed=False), pack(2, used=5), pack(3, committed=False)]
    assert chosen(packs, local=10**9, budget=0, free=0, reserve=10**9) == [2]


def test_a_disk_short_of_its_reserve_is_relieved_within_the_budget_too():
    packs = [pack(1, size=40), pack(2, size=40), pack(3, size=40)]
    assert chosen(packs, local=120, budget=1000, free=50, reserve=100) == [1, 2]


def test_the_reason_has_the_numbers():
    over, short = choose(
        [pack(1), pack(2)],
        local_size_bytes=20,
        local_size_bytes_max=15,
        free_bytes=85,
        reserve_bytes=100,
    )
    assert over.reason == "local packs were 5 B over their 15 B"
    assert short.reason == "the disk was 5 B short of its reserve of 100 B"


def test_a_budget_of_nothing_drops_all_that_is_committed():
    assert chosen([pack(1), pack(2)], local=20, budget=0) == [1, 2]
