"""The sealed file format: docs/format/pack.md as code.

Owns: nothing durable (callers give it bytes and places to put them)
Never: network, catalog, key storage
Start at: format.py
"""
