"""One chokepoint: whether a principal may do an action to an object. Denies by default.

Owns: nothing durable
Never: SQL, a peer's network, pixel data
Start at: decide.py
"""
