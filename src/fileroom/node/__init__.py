"""The node: reads its settings, assembles the rooms, runs the stages, says how it is.

Owns: the data folder's lock
Never: attributes of a data set, SQL, the bytes of a pack
Start at: assemble.py
"""
