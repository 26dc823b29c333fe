"""The web door: STOW-RS, QIDO-RS and WADO-RS of PS3.18 §10 as one raw ASGI application.

A request is routed by a table, its caller is named from the connection, `access.decide` is
asked, and only then does a handler work. Bodies stream both ways: memory is bounded per
request, whatever the size of an instance or a study.

    the way of a request    listener and lingering (the socket), app, routing and routes, caller,
                            request, hang_up; refusals has the status of every error
    in (STOW-RS)            stow for Part 10 files; stow_metadata for metadata and values that come
                            apart: metadata_parts and bulk_parts are the parts, described one
                            instance, finishing what waits for the disk; stow_report is what the
                            sender is told, stow_answer how
    searches (QIDO-RS)      qido; qido_query and qido_keys read the query, included its
                            includefield, paging knows where pages ended, matches writes each match
    out (WADO-RS)           wado, frames, bulkdata
    what answers share      negotiate (Accept), conditional (entity tags), models (JSON or XML),
                            texts (gzip), ranges (multipart and byte ranges), answers (sending)
    what the door tells     capabilities: wadl, openapi
    for the command line    tasks and task_note, peers

Owns: nothing durable
Never: SQL, files, provider SDKs; attribute values in logs or in the text of an error
Start at: app.py
"""
