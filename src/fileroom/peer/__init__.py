"""How we call other archives and modalities: a C-ECHO and a C-STORE SCU over the upper layer.

Owns: nothing durable
Never: listening; the data folder, keys, the catalog
Start at: association.py
"""
