"""What the standard says about a data set: its header, JSON, frames, names and matching.

Bytes come in as arguments, or through a `read(start, end)` that the caller hands over; values
and refusals go out. Whatever the bytes, the answer is a value or an `InstanceError`; or an
`InflatedTooLargeError`, where a caller may ask for more of a deflated data set than is inflated.

Owns: nothing durable (callers give it bytes)
Never: files, network, clock, logging, any other room
Start at: header.py
"""
