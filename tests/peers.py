"""Programs of others that conformance tests talk to."""

import asyncio
import os
import shutil
import socket

import pytest


def program(name: str, *, package: str) -> str:
    """Where a peer's program is. Without it the test is skipped and says so; under CI it fails.

    Args:
        package: the Debian package that has it.
    """
    found = shutil.which(name)
    if found is None:
        text = f"peer missing: {name} (Debian package {package})"
        if os.environ.get("CI", "") not in {"", "0", "false"}:
            pytest.fail(text)
        pytest.skip(text)
    return found


async def run(*command: str, timeout_s: float = 30) -> tuple[int, str]:
    """Run a program to its end; its exit code and everything it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace")


def free_port() -> int:
    """A loopback port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_listening(port: int) -> None:
    """Return when a program that was just started takes connections on `port`."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return
