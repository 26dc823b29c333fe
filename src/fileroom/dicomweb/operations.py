"""What each handler of this service does, takes and gives, for its descriptions. Pure."""

from collections.abc import Mapping
from typing import Final

from fileroom.dicomweb import negotiate
from fileroom.dicomweb.qido.keys import MATCHED, TAGS, Found
from fileroom.dicomweb.qido.query import SWITCHES
from fileroom.dicomweb.wado.uri_query import NOT_DONE
from fileroom.http.operation import Operation, Taken
from fileroom.pixels import view
from fileroom.pixels.view import MEDIA_TYPES

WADL: Final = "application/vnd.sun.wadl+xml"
RELATED: Final = "multipart/related"
MODELS: Final = (negotiate.DICOM_JSON, negotiate.JSON, f'{RELATED}; type="{negotiate.DICOM_XML}"')
FRAMES: Final = (
    f'{RELATED}; type="{negotiate.OCTETS}"',
    negotiate.OCTETS,
    *(f'{RELATED}; type="{each}"' for each in dict.fromkeys(negotiate.FRAME_MEDIA_TYPE.values())),
)
INSTANCES: Final = (f'{RELATED}; type="{negotiate.DICOM}"', negotiate.DICOM)
PARAMETERS: Final = {
    "study": "Study Instance UID",
    "series": "Series Instance UID",
    "instance": "SOP Instance UID",
    "frames": "frame numbers from 1, separated by commas",
    "element": "tags of 8 hexadecimal digits and, between them, numbers of items, with slashes",
}
ACCEPT: Final = Taken("accept", "media types, counted before those of the Accept field")
CODED: Final = Taken("Accept-Encoding", "`gzip` has the answer compressed")
CONDITIONS: Final = (
    Taken("If-Match", "entity tags; another one is answered 412"),
    Taken("If-None-Match", "entity tags that the caller has; one of them is answered 304"),
)
RANGES: Final = (
    Taken("Range", "byte ranges of a single part"),
    Taken("If-Range", "the entity tag of what the ranges are of"),
)
PAGING: Final = (
    Taken("includefield", "attributes to return besides, with commas, or `all`; may be repeated"),
    Taken("limit", "how many matches to return at most", "integer"),
    Taken("offset", "how many matches to leave out first", "integer"),
    *(Taken(each, "switches that kind of matching on", "boolean") for each in SWITCHES),
    ACCEPT,
)
BY_URI: Final = (
    Taken("requestType", "`WADO`"),
    Taken("studyUID", "Study Instance UID"),
    Taken("seriesUID", "Series Instance UID"),
    Taken("objectUID", "SOP Instance UID"),
    Taken("contentType", "media types, in place of those of the Accept field"),
    Taken("charset", "passed over"),
    Taken("transferSyntax", "of an instance: a UID, or `*` for the stored one"),
    Taken("frameNumber", "of a picture: which frame, from 1", "integer"),
    Taken("rows", "of a picture: its height at most", "integer"),
    Taken("columns", "of a picture: its width at most", "integer"),
    Taken("region", "of a picture: left, top, right, bottom, from 0 to 1, with commas"),
    Taken("windowCenter", "of a picture, with windowWidth"),
    Taken("windowWidth", "of a picture, with windowCenter"),
    Taken("imageQuality", "of a JPEG picture, 1 to 100", "integer"),
    # `annotation`, which is refused too, has another meaning among the rendered resources.
    *(Taken(each, "refused: not done here") for each in NOT_DONE if each != "annotation"),
)
READING: Final = (200, 304, 400, 404, 406, 412, 503)
SEARCHING: Final = (200, 204, 400, 406, 413, 503)


def _search(found: Found, transaction: str) -> Operation:
    keys = tuple(
        Taken(keyword, f"matches ({TAGS[keyword][:4]},{TAGS[keyword][4:]})")
        for keyword in sorted(MATCHED[found])
    )
    return Operation(
        f"Search for {found.value}",
        "PS3.18 §10.6",
        transaction,
        gives=MODELS,
        query=(*keys, *PAGING),
        headers=(CODED,),
        statuses=SEARCHING,
    )


OPERATIONS: Final[Mapping[str, Operation]] = {
    "store": Operation(
        "Store instances",
        "PS3.18 §10.5",
        "StoreInstances",
        gives=(*MODELS, negotiate.DICOM_XML),
        takes=(
            *INSTANCES,
            f'{RELATED}; type="{negotiate.DICOM_JSON}"',
            f'{RELATED}; type="{negotiate.DICOM_XML}"',
        ),
        statuses=(200, 202, 400, 406, 409, 413, 415, 503, 507),
    ),
    "search_studies": _search(Found.STUDIES, "SearchForStudies"),
    "search_series": _search(Found.SERIES, "SearchForSeries"),
    "search_instances": _search(Found.INSTANCES, "SearchForInstances"),
    "retrieve_instances": Operation(
        "Retrieve instances",
        "PS3.18 §10.4",
        "RetrieveInstances",
        gives=INSTANCES,
        query=(ACCEPT,),
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 416),
    ),
    "retrieve_metadata": Operation(
        "Retrieve metadata",
        "PS3.18 §10.4.1.1.2",
        "RetrieveMetadata",
        gives=(*MODELS, negotiate.DICOM_XML),
        query=(ACCEPT,),
        headers=(*CONDITIONS, CODED),
        statuses=(*READING, 413),
    ),
    "retrieve_frames": Operation(
        "Retrieve frames",
        "PS3.18 §10.4.1.1.6",
        "RetrieveFrames",
        gives=FRAMES,
        query=(ACCEPT,),
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 413, 416),
    ),
    "retrieve_bulkdata": Operation(
        "Retrieve bulk data",
        "PS3.18 §10.4.1.1.5",
        "RetrieveBulkdata",
        gives=FRAMES,
        query=(ACCEPT,),
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 413, 416),
    ),
    "retrieve_by_uri": Operation(
        "Retrieve an instance, or a picture of one of its frames, by query parameters",
        "PS3.18 §9",
        "RetrieveByUri",
        gives=(*view.MEDIA_TYPES, negotiate.DICOM),
        query=BY_URI,
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 413, 416),
    ),
    "retrieve_rendered": Operation(
        "Retrieve pictures of all frames",
        "PS3.18 §10.4.1.1.3",
        "RetrieveRendered",
        gives=(*MEDIA_TYPES, *(f'{RELATED}; type="{each}"' for each in MEDIA_TYPES)),
        query=(
            Taken(
                "viewport",
                "width and height of a box that they fill, and left, top, width and "
                "height of the part of the image, in pixels; a size below 0 flips it",
            ),
            Taken("window", "center, width, and linear, linear-exact or sigmoid"),
            Taken("quality", "of JPEG, from 1 to 100", "integer"),
            Taken("annotation", "patient, technique; nothing is annotated, and a Warning says so"),
            Taken("iccprofile", "`no`"),
            ACCEPT,
        ),
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 413, 416),
    ),
    "retrieve_thumbnail": Operation(
        "Retrieve one small picture",
        "PS3.18 §10.4.1.1.4",
        "RetrieveThumbnail",
        gives=MEDIA_TYPES,
        query=(Taken("viewport", "width and height of a box that it fills"), ACCEPT),
        headers=(*CONDITIONS, *RANGES),
        statuses=(*READING, 206, 413, 416),
    ),
    "capabilities": Operation(
        "Retrieve capabilities",
        "PS3.18 §8.9",
        "RetrieveCapabilities",
        gives=(WADL, negotiate.JSON),
        statuses=(200, 406),
    ),
}
