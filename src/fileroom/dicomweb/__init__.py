"""The DICOMweb door (PS3.18 §10): STOW-RS, QIDO-RS, WADO-RS, as resources of the HTTP door.

    stow/                   in: Part 10 files; metadata and values that come apart
    qido/                   searches
    wado/                   out: instances, metadata, frames, bulk data, pictures; WADO-URI
    what answers share      location (URLs), negotiate (Accept), conditional (entity tags), models
                            (JSON or XML), ranges (multipart and byte ranges), flowing (what
                            is made while it is sent)
    what it tells           operations, capabilities, wadl

Owns: nothing durable
Never: SQL, files, provider SDKs; attribute values in logs or in the text of an error
Start at: routes.py
"""
