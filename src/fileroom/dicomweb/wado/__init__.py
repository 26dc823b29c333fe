"""WADO-RS (PS3.18 §10.4).

Owns: nothing durable
Never: a byte of an instance before the read is on record
Start at: instances.py
"""
