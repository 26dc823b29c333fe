"""What all tests share: how long Hypothesis may look."""

from hypothesis import settings

settings.register_profile("usual", deadline=None, max_examples=100)
settings.register_profile("fuzz", deadline=None, max_examples=10_000)
settings.load_profile("usual")
