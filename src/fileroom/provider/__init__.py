"""Where objects are kept: one port, and an adapter for each kind of place.

An object is written once under a name that carries its SHA-256; what exists is never overwritten.

Owns: the objects at a provider
Never: deciding what is stored or deleted, plaintext, keys
Start at: port.py
"""
