"""Signed notes and checkpoints against the vectors of golang.org/x/mod, C2SP and
transparency-dev."""

import pytest

from fileroom.ledger import checkpoint, note
from fileroom.ledger.checkpoint import Checkpoint, CheckpointError
from fileroom.ledger.note import NoteError, VerifierKey
from golden import ledger_v1 as golden

# golang.org/x/mod sumdb/note/note_test.go
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = bytes.fromhex("810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173")
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb"
    "6KE6RyyBwJnAM=\n"
)
ENOCH = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33W"
    "Wd1RvMc+QQ=\n"
)
# c2sp.org/signed-note, "Verifier keys"
FOO_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ON"
    "ncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# c2sp.org/tlog-checkpoint
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcy"
    "v2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)


def peter():
    return VerifierKey.parse(PETER_KEY)


def test_a_note_is_signed_byte_for_byte_as_go_signs_it():
    assert str(VerifierKey.of_seed("PeterNeumann", PETER_SEED)) == PETER_KEY
    signed = note.sign(TEXT, name="PeterNeumann", seed=PETER_SEED)
    assert signed.decode() == f"{TEXT}\n{PETER}"


@pytest.mark.parametrize("keys", [[PETER_KEY], [ENOCH_KEY], [PETER_KEY, ENOCH_KEY]])
def test_a_note_of_other_implementations_verifies_with_any_of_its_keys(keys):
    data = f"{TEXT}\n{PETER}{ENOCH}".encode()
    assert note.verified_text(data, [VerifierKey.parse(each) for each in keys]) == TEXT


def test_the_example_of_the_specification_verifies():
    key = VerifierKey.parse(FOO_KEY)
    assert str(key) == FOO_KEY
    assert note.verified_text(FOO_NOTE.encode(), [key]) == "This is an example message.\n"


def test_a_note_that_no_known_key_signed_is_refused():
    data = f"{TEXT}\n{PETER}".encode()
    for keys in ([], [VerifierKey.parse(ENOCH_KEY)], [VerifierKey("CarmenSandiego", b"k" * 32)]):
        with pytest.raises(NoteError, match="known key"):
            note.verified_text(data, keys)


def test_a_known_key_whose_signature_fails_spoils_the_whole_note():
    broken = PETER[:60] + "ABCD" + PETER[60:]
    keys = [peter(), VerifierKey.parse(ENOCH_KEY)]
    for lines in (ENOCH + broken, broken + ENOCH):
        with pytest.raises(NoteError, match="does not verify"):
            note.verified_text(f"{TEXT}\n{lines}".encode(), keys)


def test_every_changed_byte_of_a_note_is_refused():
    data = f"{TEXT}\n{PETER}".encode()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(NoteError):
            note.verified_text(bytes(changed), [peter()])


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        (TEXT + "\n").encode(),
        (TEXT + "\n" + PETER[:-1]).encode(),
        ("\x01" + TEXT + "\n" + PETER).encode(),
        b"\xff" + (TEXT + "\n" + PETER).encode(),
        (TEXT + "\n" + PETER.replace("PeterNeumann", "Bad Name")).encode(),
        (TEXT + "\n" + PETER + "Unexpected line.\n").encode(),
        (TEXT + "\n" + PETER.replace("—", "-")).encode(),
        (TEXT + "\n" + PETER * 101).encode(),
        b"",
        b"\n",
        b"x" * (1 << 20) + b"\n\n" + PETER.encode(),
    ],
)
def test_a_malformed_note_is_refused(data):
    with pytest.raises(NoteError):
        note.verified_text(data, [peter()])


def test_sixteen_signatures_are_accepted():
    data = (TEXT + "\n" + ENOCH * 15 + PETER).encode()
    assert note.verified_text(data, [peter()]) == TEXT


def test_a_mangled_verifier_key_is_refused():
    mangled = {PETER_KEY[start:end] for start in range(70) for end in range(start, 71)}
    mangled -= {PETER_KEY}
    mangled |= {
        PETER_KEY[:at] + chr(ord(PETER_KEY[at]) + 1) + PETER_KEY[at + 1 :]
        for at in range(len(PETER_KEY))
    }
    # a key of the wrong length and one of an unknown type, with their ids adjusted
    mangled.add("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==")
    mangled.add("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    for each in mangled:
        with pytest.raises(NoteError):
            VerifierKey.parse(each)


def test_the_checkpoint_of_the_specification_is_read():
    assert checkpoint.parse(SOFA.partition("\n\n")[0] + "\n") == Checkpoint(
        "example.com/behind-the-sofa",
        20852163,
        bytes.fromhex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"),
    )


def test_our_checkpoint_is_the_one_on_the_format_page():
    head = Checkpoint(golden.SITE, 1, golden.LEAF)
    assert checkpoint.signed(head, seed=golden.SIGNING_SEED) == golden.CHECKPOINT
    key = VerifierKey.parse(golden.VERIFIER_KEY)
    assert checkpoint.verified(golden.CHECKPOINT, origin=golden.SITE, keys=[key]) == head
    assert VerifierKey.of_seed(golden.SITE, golden.SIGNING_SEED) == key


def test_a_checkpoint_of_another_log_is_refused():
    key = VerifierKey.parse(golden.VERIFIER_KEY)
    with pytest.raises(CheckpointError, match="another log"):
        checkpoint.verified(golden.CHECKPOINT, origin="clinic", keys=[key])


ROOT = "qd/VqDuDAWyJSTi/8xbKBUbcSSQOV3c5RrFvi2LltV8="


@pytest.mark.parametrize("extension", ["", "one\n", "one\ntwo\n"])
def test_extension_lines_are_allowed(extension):
    assert checkpoint.parse(f"Log\n123\n{ROOT}\n{extension}").size == 123


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Head\n9944\n",
        f"\n9944\n{ROOT}\n",
        f"Log\n123\n{ROOT}",
        f"Log\nbananas\n{ROOT}\n",
        f"Log\n-34\n{ROOT}\n",
        f"Log\n+34\n{ROOT}\n",
        f"Log\n0123\n{ROOT}\n",
        f"Log\n ١\n{ROOT}\n",
        f"Log\n9223372036854775808\n{ROOT}\n",
        f"Log\n3438945738945739845734895735\n{ROOT}\n",
        "Log\n123\nThisIsn'tBase64\n",
        "Log\n123\nYmFuYW5hcw==\n",
        f"Log\n123\n{ROOT[:-2]}9=\n",  # bits behind the last byte
        f"Log\n123\n{ROOT}\n\n",
        f"Log\n123\n{ROOT}\none\n\ntwo\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text):
    with pytest.raises(CheckpointError):
        checkpoint.parse(text)
