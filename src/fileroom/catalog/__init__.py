"""The catalog: what the archive holds, where each thing lies, and how far it has come.

A projection of spool, packs and ledger: fast to search, the queue of every stage, and safe to
lose. Stages move states here and find their work here; nothing else tells them.

Owns: the catalog file, <data>/catalog.db with its write-ahead log
Never: network, bytes of instances, keys other than the one that opens its file
Start at: port.py
"""
