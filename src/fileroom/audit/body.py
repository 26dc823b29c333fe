"""What the bodies of all kinds of events are. Pure."""

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What a body says. Fields are added, never renamed: old bodies are never rewritten."""
