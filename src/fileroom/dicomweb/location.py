"""Where the resources of this service lie, as its callers reach it. Pure."""

from typing import Final

from fileroom.http.ports import StoredInstance
from fileroom.http.request import Request

BASE: Final = "/dicomweb"


def base_url(request: Request) -> str:
    """The service's URL as this caller reaches it, without a slash at its end."""
    return request.root_url + BASE


def instance_url(instance: StoredInstance, base_url: str) -> str:
    """The URL under which an instance is retrieved."""
    return (
        f"{base_url}/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances/{instance.sop_instance_uid}"
    )
