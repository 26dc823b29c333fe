"""What metadata.json says about one instance, from the instance's own bytes. Pure."""

from fileroom.dicom import frame_table
from fileroom.dicom.dataset_index import Read
from fileroom.dicom.encoding import encoding_of
from fileroom.dicom.frames import pixel_layout
from fileroom.dicom.instance_error import InstanceError
from fileroom.dicom.json_model import JsonWriter
from fileroom.pack.metadata import EncapsulatedFrames, Frames, NativeFrames


class Describer:
    """Describes data sets one after the other; a series' repeated elements cost little.

    Not for use from several threads at once.
    """

    def __init__(self) -> None:
        self._json = JsonWriter()

    def dicom_json(self, read: Read, size_bytes: int, transfer_syntax_uid: str) -> bytes:
        """The data set in the DICOM JSON Model, without bulk data."""
        return self._json.instance(read, size_bytes, transfer_syntax_uid)

    def frames(
        self, read: Read, size_bytes: int, transfer_syntax_uid: str, *, dataset_offset: int
    ) -> Frames:
        """Where the frames lie in the DICOM file whose data set begins at `dataset_offset`.

        None where they cannot be given as ranges of its bytes: no pixel data, a deflated data
        set, frames that begin inside a byte, or fragments that nothing divides.
        """
        if encoding_of(transfer_syntax_uid).deflated:
            return None
        try:
            table = pixel_layout(read, size_bytes, transfer_syntax_uid)
        except InstanceError:
            return None
        if isinstance(table, frame_table.NativeFrames):
            offset = dataset_offset + table.offset
            return NativeFrames(offset, table.frame_length_bytes, table.count)
        if isinstance(table, frame_table.EncapsulatedFrames):
            return EncapsulatedFrames(
                [
                    [(dataset_offset + start, dataset_offset + end) for start, end in ranges]
                    for ranges in table
                ]
            )
        return None
