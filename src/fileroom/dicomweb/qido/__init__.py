"""QIDO-RS (PS3.18 §10.6).

`query` and `keys` read the query, `included` its includefield; `matches` writes each match.

Owns: nothing durable
Never: attribute values in logs or in the text of an error
Start at: search.py
"""
