"""WADO-RS (PS3.18 §10.4): instances, frames, bulkdata, rendered; transcoded gives instances in
another transfer syntax. WADO-URI (§9): uri, whose query uri_query reads.

Owns: nothing durable
Never: a byte of an instance before the read is on record
Start at: instances.py
"""
