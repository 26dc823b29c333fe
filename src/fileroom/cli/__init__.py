"""The command line: one module a verb group, rooms imported only by the verb that needs them.

Owns: data/import, the journal of what `fileroom import` has stored
Never: SQL, the bytes of a pack, a provider's objects, a decision about access
Start at: main.py
"""
