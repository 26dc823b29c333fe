"""Received instances, encrypted and durable, until they are sealed: docs/format/spool.md as code.

A landing takes an instance's bytes as they arrive; its commit returns when they are on the disk.

Owns: <data>/spool/
Never: the catalog, packs, sockets; deciding that a segment may go
Start at: landing.py
"""
