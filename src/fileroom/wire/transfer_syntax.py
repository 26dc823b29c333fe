"""The transfer syntaxes that an instance may arrive in: it is kept as it came, bit for bit. Pure.

All of PS3.6 §A with a data set in it, retired ones too, because archives are full of them. What
is not here is refused when contexts are negotiated: of a private syntax nobody could say how to
read the header.
"""

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"

UNCOMPRESSED = frozenset({IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN})

SENT_WHATEVER_IS_STORED = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
"""What instances are transcoded to, the better one first."""

_ENCAPSULATED_ROOT = "1.2.840.10008.1.2."
_ENCAPSULATED = (
    "1.98",  # Encapsulated Uncompressed Explicit VR Little Endian
    *(f"4.{process}" for process in range(50, 67)),  # JPEG, Processes 1 to 29
    "4.70",  # JPEG Lossless, Process 14, Selection Value 1
    "4.80",  # JPEG-LS Lossless
    "4.81",  # JPEG-LS Near-Lossless
    "4.90",  # JPEG 2000 Lossless Only
    "4.91",  # JPEG 2000
    "4.92",  # JPEG 2000 Part 2 Multi-component Lossless Only
    "4.93",  # JPEG 2000 Part 2 Multi-component
    "4.94",  # JPIP Referenced
    "4.95",  # JPIP Referenced Deflate
    *(f"4.{profile}" for profile in range(100, 107)),  # MPEG-2 and MPEG-4
    *(f"4.{profile}.1" for profile in range(100, 107)),  # the same, fragmentable
    "4.107",  # HEVC/H.265 Main Profile
    "4.108",  # HEVC/H.265 Main 10 Profile
    "4.110",  # JPEG XL Lossless
    "4.111",  # JPEG XL JPEG Recompression
    "4.112",  # JPEG XL
    "4.201",  # HTJ2K Lossless Only
    "4.202",  # HTJ2K with RPCL Options Lossless Only
    "4.203",  # HTJ2K
    "4.204",  # JPIP HTJ2K Referenced
    "4.205",  # JPIP HTJ2K Referenced Deflate
    "5",  # RLE Lossless
    "7.1",  # SMPTE ST 2110-20 Uncompressed Progressive Active Video
    "7.2",  # SMPTE ST 2110-20 Uncompressed Interlaced Active Video
    "7.3",  # SMPTE ST 2110-30 PCM Digital Audio
    "8.1",  # Deflated Image Frame Compression
)

STORABLE = UNCOMPRESSED | {DEFLATED_LITTLE_ENDIAN}
STORABLE |= frozenset(_ENCAPSULATED_ROOT + each for each in _ENCAPSULATED)
"""Transfer syntaxes accepted for storage."""
