"""Fileroom's own resources over HTTP: tasks, peers, and the node's state.

Owns: nothing durable
Never: DICOMweb; SQL, files, provider SDKs; attribute values in logs or in the text of an error
Start at: routes.py
"""
