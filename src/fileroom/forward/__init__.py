"""Forwarding: what rules take goes on to other archives, and what came of it.

Owns: nothing durable (its queue is the catalog's)
Never: SQL, listening; deciding what is stored here
Start at: send.py
"""
