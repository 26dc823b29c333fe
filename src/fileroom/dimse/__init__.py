"""The DICOM door: the DIMSE services over the upper layer, one protocol object an association.

Owns: nothing durable
Never: SQL, files, keys; answering success before ingest has said so
Start at: server.py
"""
