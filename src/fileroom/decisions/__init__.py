"""Decisions of people about what is stored: taken, recorded, applied when it is read.

A decision commits when the ledger has appended it; then it is applied to the catalog. A start
applies again what the catalog may not have heard of (recovery/replay.py). Packs never change.

Owns: nothing durable (the ledger has the decisions, the catalog what follows from them)
Never: HTTP, DIMSE, SQL, a provider, a change of stored bytes
Start at: decider.py
"""
