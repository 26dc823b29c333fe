"""The way in: one module a stage, in the order an instance passes them.

receive → seal → replicate → verify → commit → evict. A stage finds its work in the catalog,
moves the state there, and never calls the next one. Beside them promise → report: what a peer
asks about the instances that it has sent.

Owns: the local packs, <data>/packs
Never: HTTP, DIMSE, SQL, a provider's SDK
Start at: receive.py
"""
