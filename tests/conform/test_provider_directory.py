"""The directory provider, held to the port."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conform.provider_suite import ProviderSuite
from fileroom.disk import Disk
from fileroom.provider.directory import DirectoryProvider
from fileroom.provider.port import FailureDomain, Provider


class TestDirectoryProvider(ProviderSuite):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> Iterator[Provider]:
        opened = DirectoryProvider.open(
            tmp_path / "objects",
            name="second disk",
            domain=FailureDomain(),
            disk=Disk(),
            create=True,
        )
        yield opened
        opened.close()
