"""PDUs as other implementations sent them, field by field (PS3.8 §9.3, PS3.7 §D.3.3).

Recorded on loopback from DCMTK 3.6.7 (echoscu, storescu, storescp), and, where said, from the
test data of pynetdicom 3.0.4 (MIT licence), some of which are recordings of DCMTK 3.6.0 and
MergeCOM-3. None was made with this project's encoder.
"""


def octets(text: str) -> bytes:
    """Hexadecimal digits and 'quoted characters' as bytes; what follows a # is a remark."""
    found = bytearray()
    for line in text.splitlines():
        for index, part in enumerate(line.split("#")[0].split("'")):
            found += part.encode("ascii") if index % 2 else bytes.fromhex(part)
    return bytes(found)


# echoscu 127.0.0.1 (DCMTK 3.6.7)
ECHOSCU_ASSOCIATE_RQ = octets("""
    01 00 000000CD          # PDU-type A-ASSOCIATE-RQ, reserved, PDU-length 205
    0001 0000               # Protocol-version: bit 0; reserved
    'ANY-SCP         '      # Called-AE-title, 16 bytes
    'ECHOSCU         '      # Calling-AE-title, 16 bytes
    0000000000000000 0000000000000000 0000000000000000 0000000000000000  # reserved, 32 bytes
    10 00 0015 '1.2.840.10008.3.1.1.1'      # Application Context
    20 00 002E              # Presentation Context, 46 bytes
      01 00 FF 00           # ID 1; reserved: one of these is not zero and is not looked at
      30 00 0011 '1.2.840.10008.1.1'        # Abstract Syntax: Verification
      40 00 0011 '1.2.840.10008.1.2'        # Transfer Syntax: Implicit VR Little Endian
    50 00 003A              # User Information, 58 bytes
      51 00 0004 00004000   # Maximum Length: 16384
      52 00 001B '1.2.276.0.7230010.3.0.3.6.7'   # Implementation Class UID
      55 00 000F 'OFFIS_DCMTK_367'               # Implementation Version Name
""")

# storescp's answer to a request that asked for user identity and asynchronous operations and
# got neither (DCMTK 3.6.7)
STORESCP_ASSOCIATE_AC = octets("""
    02 00 000000B8          # PDU-type A-ASSOCIATE-AC, reserved, PDU-length 184
    0001 0000               # Protocol-version, reserved
    'ANY-SCP         '      # bytes 11 to 74 repeat the request's
    'ECHOSCU         '
    0000000000000000 0000000000000000 0000000000000000 0000000000000000
    10 00 0015 '1.2.840.10008.3.1.1.1'      # Application Context
    21 00 0019              # Presentation Context, 25 bytes
      01 00 00 00           # ID 1, reserved, Result 0 acceptance, reserved
      40 00 0011 '1.2.840.10008.1.2'        # Transfer Syntax: Implicit VR Little Endian
    50 00 003A              # User Information, 58 bytes
      51 00 0004 00004000   # Maximum Length: 16384
      52 00 001B '1.2.276.0.7230010.3.0.3.6.7'
      55 00 000F 'OFFIS_DCMTK_367'
""")

# storescp, to a request with another application context
STORESCP_ASSOCIATE_RJ = octets("""
    03 00 00000004          # PDU-type A-ASSOCIATE-RJ, reserved, PDU-length 4
    00 01 01 02             # reserved, rejected-permanent, service-user,
                            # application-context-name-not-supported
""")

# echoscu (DCMTK 3.6.7)
ECHOSCU_P_DATA_TF = octets("""
    04 00 0000004A          # PDU-type P-DATA-TF, reserved, PDU-length 74
    00000046 01             # Presentation-data-value: Item-length 70, context ID 1
    03                      # message control header: command, last fragment
""")
ECHOSCU_C_ECHO_RQ = octets("""
    0000 0000 04000000 38000000                       # (0000,0000) group length 56
    0000 0200 12000000 '1.2.840.10008.1.1' 00         # (0000,0002) Affected SOP Class UID
    0000 0001 02000000 3000                           # (0000,0100) Command Field C-ECHO-RQ
    0000 1001 02000000 0100                           # (0000,0110) Message ID 1
    0000 0008 02000000 0101                           # (0000,0800) no data set
""")

# storescp's answer to it
STORESCP_P_DATA_TF = octets("""
    04 00 00000054          # PDU-type P-DATA-TF, reserved, PDU-length 84
    00000050 01             # Presentation-data-value: Item-length 80, context ID 1
    03                      # message control header: command, last fragment
""")
STORESCP_C_ECHO_RSP = octets("""
    0000 0000 04000000 42000000                       # (0000,0000) group length 66
    0000 0200 12000000 '1.2.840.10008.1.1' 00         # (0000,0002) Affected SOP Class UID
    0000 0001 02000000 3080                           # (0000,0100) Command Field C-ECHO-RSP
    0000 2001 02000000 0100                           # (0000,0120) Message ID responded to 1
    0000 0008 02000000 0101                           # (0000,0800) no data set
    0000 0009 02000000 0000                           # (0000,0900) Status: success
""")

# storescu CT_small.dcm (DCMTK 3.6.7): its command
STORESCU_C_STORE_RQ = octets("""
    0000 0000 04000000 82000000                       # (0000,0000) group length 130
    0000 0200 1A000000 '1.2.840.10008.5.1.4.1.1.2' 00 # (0000,0002) Affected SOP Class UID
    0000 0001 02000000 0100                           # (0000,0100) Command Field C-STORE-RQ
    0000 1001 02000000 0100                           # (0000,0110) Message ID 1
    0000 0007 02000000 0000                           # (0000,0700) Priority medium
    0000 0008 02000000 0100                           # (0000,0800) a data set follows
    0000 0010 30000000                                # (0000,1000) Affected SOP Instance UID
      '1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322' 00
""")

RELEASE_RQ = octets("05 00 00000004 00000000")  # echoscu; PS3.8 §9.3.6, Table 9-24
RELEASE_RP = octets("06 00 00000004 00000000")  # storescp; PS3.8 §9.3.7, Table 9-25
USER_ABORT = octets("07 00 00000004 00 00 00 00")  # storescp, to a PDU-type 09H
PROVIDER_ABORT = octets("07 00 00000004 00 00 02 04")  # pynetdicom: unrecognized-PDU-parameter

# pynetdicom: GETSCU, which takes the SCP role of CT Image Storage
GETSCU_ASSOCIATE_RQ = octets("""
    01 00 000000FC 0001 0000
    'ANY-SCP         ' 'GETSCU          '
    0000000000000000 0000000000000000 0000000000000000 0000000000000000
    10 00 0015 '1.2.840.10008.3.1.1.1'
    20 00 0038
      01 00 00 00
      30 00 0019 '1.2.840.10008.5.1.4.1.1.2'     # CT Image Storage
      40 00 0013 '1.2.840.10008.1.2.1'           # Explicit VR Little Endian
    50 00 005F
      51 00 0004 00003FFE                        # Maximum Length: 16382
      52 00 0020 '1.2.826.0.1.3680043.9.3811.0.9.0'
      55 00 000E 'PYNETDICOM_090'
      54 00 001D                                 # SCP/SCU Role Selection, 29 bytes
        0019 '1.2.840.10008.5.1.4.1.1.2'         # UID-length, SOP Class UID
        00 01                                    # SCU role no, SCP role yes
""")

# pynetdicom: user identity without a passcode, asynchronous operations, extended negotiation
EXTENDED_ASSOCIATE_RQ = octets("""
    01 00 000001AB 0001 0000
    'ANY-SCP         ' 'ECHOSCU         '
    0000000000000000 0000000000000000 0000000000000000 0000000000000000
    10 00 0015 '1.2.840.10008.3.1.1.1'
    20 00 002E 01 00 00 00
      30 00 0011 '1.2.840.10008.1.1'
      40 00 0011 '1.2.840.10008.1.2'
    20 00 0036 03 00 00 00
      30 00 0019 '1.2.840.10008.5.1.4.1.1.2'
      40 00 0011 '1.2.840.10008.1.2'
    20 00 0036 05 00 00 00
      30 00 0019 '1.2.840.10008.5.1.4.1.1.4'
      40 00 0011 '1.2.840.10008.1.2'
    50 00 00A4
      51 00 0004 00003FFE
      52 00 0020 '1.2.826.0.1.3680043.9.3811.0.9.0'
      55 00 000E 'PYNETDICOM_090'
      58 00 0010                                 # User Identity, 16 bytes
        01 01                                    # user name; positive response requested
        000A 'pynetdicom' 0000                   # primary field; secondary field empty
      53 00 0004 0005 0005                       # Asynchronous Operations Window: 5 and 5
      56 00 0021 0019 '1.2.840.10008.5.1.4.1.1.2' 02 00 03 00 01 00  # SOP Class Extended
      56 00 0021 0019 '1.2.840.10008.5.1.4.1.1.4' 02 00 03 00 01 00
""")

# MergeCOM-3 (recorded for pynetdicom's issue 342): a refused context with an empty transfer syntax
MERGECOM_ASSOCIATE_AC = octets("""
    02 00 000000B6 0001 0000
    'ANY-SCP         ' 'PYNETDICOM      '
    0000000000000000 0000000000000000 0000000000000000 0000000000000000
    10 00 0015 '1.2.840.10008.3.1.1.1'
    21 00 001B 01 00 00 00                       # ID 1: acceptance
      40 00 0013 '1.2.840.10008.1.2.1'
    21 00 0008 03 00 03 00                       # ID 3: abstract-syntax-not-supported
      40 00 0000
    50 00 002A
      51 00 0004 00007000
      52 00 000A '2.16.840.1'
      55 00 0010 'MergeCOM3_390IB2'
""")

# Sub-items alone, by type (pynetdicom)
SUB_ITEMS = {
    "max_length": octets("51 00 0004 00003FFE"),
    "implementation_class_uid": octets("52 00 0020 '1.2.826.0.1.3680043.9.3811.0.9.0'"),
    "implementation_class_uid_empty": octets("52 00 0000"),
    "async_operations": octets("53 00 0004 0005 0005"),
    "role_selection": octets("54 00 001D 0019 '1.2.840.10008.5.1.4.1.1.2' 00 01"),
    "implementation_version_name": octets("55 00 000E 'PYNETDICOM_090'"),
    "extended": octets("56 00 0021 0019 '1.2.840.10008.5.1.4.1.1.2' 02 00 03 00 01 00"),
    # version 0; MR Image Storage, Storage Service Class, related to Enhanced SR
    "common_extended": octets("""
        57 00 004F 0019 '1.2.840.10008.5.1.4.1.1.4' 0011 '1.2.840.10008.4.2'
        001F 001D '1.2.840.10008.5.1.4.1.1.88.22'
    """),
    # user name and passcode, no response requested
    "user_identity": octets("58 00 0018 02 00 000A 'pynetdicom' 0008 'p4ssw0rd'"),
    "user_identity_answer": octets("59 00 000A 0008 'Accepted'"),
}

# pynetdicom: a C-STORE on behalf of a C-MOVE
MOVE_C_STORE_RQ = octets("""
    0000 0000 04000000 5E000000
    0000 0200 06000000 '1.1.1' 00
    0000 0001 02000000 0100
    0000 1001 02000000 0700                           # Message ID 7
    0000 0007 02000000 0200                           # Priority low
    0000 0008 02000000 0100
    0000 0010 06000000 '1.2.1' 00
    0000 3010 08000000 'UNITTEST'                     # Move Originator AE title
    0000 3110 02000000 0300                           # Move Originator Message ID 3
""")
# pynetdicom: a C-STORE-RSP
C_STORE_RSP = octets("""
    0000 0000 04000000 4C000000
    0000 0200 08000000 '1.2.4.10'
    0000 0001 02000000 0180
    0000 2001 02000000 0500                           # Message ID responded to 5
    0000 0008 02000000 0101
    0000 0009 02000000 0000
    0000 0010 0C000000 '1.2.4.5.7.8' 00
""")
# pynetdicom: N-EVENT-REPORT-RQ
N_EVENT_REPORT_RQ = octets("""
    0000 0000 04000000 64000000
    0000 0200 16000000 '1.2.840.10008.5.1.1.14'
    0000 0001 02000000 0001
    0000 1001 02000000 0100
    0000 0008 02000000 0101
    0000 0010 16000000 '1.2.840.10008.5.1.1.17'
    0000 0210 02000000 0300                           # Event Type ID 3
""")
