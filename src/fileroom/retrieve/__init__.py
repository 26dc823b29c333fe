"""The way out: from a UID to bytes, reading no more of a pack than was asked for; in another form
(transcode, made_frames), or as a picture (render, thumbnails).

Owns: the cache of ciphertext blocks, <data>/cache
Never: HTTP, DIMSE, SQL; plaintext on a disk
Start at: archive.py
"""
