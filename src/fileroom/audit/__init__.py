"""Who did what: events for the ledger, the record before every read, the copy at providers.

Owns: nothing durable (the ledger keeps the log, providers their copies of it)
Never: SQL, pixel data, a decision about who may do what
Start at: event.py
"""
