"""The fake of the tests, and the metered provider around it, held to the port."""

import pytest

from conform.memory_provider import MemoryProvider
from conform.provider_suite import ProviderSuite
from fileroom.link.metered import Meter, Metered
from fileroom.provider.port import Provider


class TestMemoryProvider(ProviderSuite):
    @pytest.fixture
    def provider(self) -> Provider:
        return MemoryProvider()


class TestMeteredProvider(ProviderSuite):
    @pytest.fixture
    def provider(self) -> Provider:
        return Metered(MemoryProvider(), Meter())
