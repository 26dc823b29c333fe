"""STOW-RS (PS3.18 §10.5).

`store` is for Part 10 files, `metadata` for metadata and values that come apart: `metadata_parts`
and `bulk_parts` are the parts, `described` one instance, `finishing` what waits for the disk;
`report` is what the sender is told, `answer` how.

Owns: nothing durable
Never: success before the spool has it
Start at: store.py
"""
