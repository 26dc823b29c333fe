"""Bringing the catalog back from what is durable: packs, spool, key objects, ledger.

Owns: nothing durable (it fills the catalog and the keyring)
Never: doors, HTTP, SQL, deleting anything
Start at: rebuild.py
"""
