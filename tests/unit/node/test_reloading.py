"""SIGHUP: what is taken over, what is told, and that a mistake changes nothing."""

import asyncio
import logging
import os
import signal

import pytest

from fileroom.node.config import load
from fileroom.node.reloading import SettingsInForce


@pytest.fixture(autouse=True)
def level_as_it_was():
    before = logging.getLogger("fileroom").level
    yield
    logging.getLogger("fileroom").setLevel(before)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fileroom.toml"
    path.write_text("[dimse]\nassociations_max = 4\nport = 1\n")
    return path


def in_force(file, applied):
    return SettingsInForce(load(file=str(file), environment={}), apply=applied.append)


def test_live_keys_are_applied_and_the_others_are_told_to_wait(file, caplog):
    caplog.set_level("INFO", "fileroom")
    applied = []
    settings = in_force(file, applied)
    file.write_text("[dimse]\nassociations_max = 8\nport = 2\n[log]\nlevel = 'debug'\n")
    settings.reload()
    assert [(each.dimse.associations_max, each.dimse.port) for each in applied] == [(8, 1)]
    assert settings.settings is applied[0]
    assert logging.getLogger("fileroom").level == logging.DEBUG
    assert "dimse.associations_max has a new value" in caplog.messages
    assert "dimse.port has a new value, which waits for a restart" in caplog.messages


def test_a_mistake_changes_nothing_and_is_told(file, caplog):
    applied = []
    settings = in_force(file, applied)
    before = settings.settings
    file.write_text("[dimse]\nassociation_max = 8\n")
    settings.reload()
    assert settings.settings is before
    assert applied == []
    assert "did you mean 'associations_max'" in caplog.text


async def test_the_signal_reloads(file):
    applied = []
    settings = in_force(file, applied)
    settings.reload_at_sighup()
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        while not applied:
            await asyncio.sleep(0)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    assert applied[0].dimse.associations_max == 4


async def test_what_else_the_signal_does_is_done_also_where_the_settings_are_wrong(file):
    applied, done = [], []
    in_force(file, applied).reload_at_sighup(then=lambda: done.append("asked"))
    file.write_text("[dimse]\nassociation_max = 8\n")
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        while not done:
            await asyncio.sleep(0)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    assert (applied, done) == ([], ["asked"])


async def test_a_node_in_another_thread_leaves_the_signal_alone(file):
    before = signal.getsignal(signal.SIGHUP)
    await asyncio.to_thread(in_force(file, []).reload_at_sighup)
    assert signal.getsignal(signal.SIGHUP) is before
