"""How we call other archives and modalities: SCUs over the upper layer, and the SCP of storage
commitment when it has something to tell; and STOW-RS as its user agent.

Owns: nothing durable
Never: listening; the data folder, keys, the catalog
Start at: association.py
"""
