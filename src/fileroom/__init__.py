"""Fileroom: a DICOM archive whose packs, keys and ledger the hospital owns."""

__version__ = "0.1.0"
