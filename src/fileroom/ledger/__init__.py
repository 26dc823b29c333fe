"""The ledger: docs/format/ledger.md as code. One append-only, tamper-evident log per site.

A decision commits when the ledger has appended it.

Owns: the log of decisions and events, <data>/ledger
Never: network, catalog, key storage, what a kind of event means
Start at: log.py
"""
