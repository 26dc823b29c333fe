"""The three levels of keys: docs/format/keyring.md as code.

Owns: the keyring folder of a node's data folder
Never: network (a key service is its adapter's), packs, catalog; a key in a log, a repr or an error
Start at: keyring.py
"""
