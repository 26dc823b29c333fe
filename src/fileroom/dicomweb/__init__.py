"""The web door: STOW-RS, QIDO-RS and WADO-RS of PS3.18 §10 as one raw ASGI application.

A request is routed by a table, its caller is named from the connection, `access.decide` is
asked, and only then does a handler work. Bodies stream both ways: memory is bounded per
request, whatever the size of an instance or a study.

Owns: nothing durable
Never: SQL, files, provider SDKs; attribute values in logs or in the text of an error
Start at: app.py
"""
