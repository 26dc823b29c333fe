"""What is told to OHIF, whose package was built for the root of a host: where it is, and where this
node's DICOMweb is. Pure.
"""

import re
from functools import lru_cache
from typing import Any, Final

import msgspec

DATA_SOURCE: Final = "fileroom"
# What webpack writes for the place of an application at the root of its host, in the application
# and in each of its workers.
BUILT_FOR_ROOT: Final = b'__webpack_require__.p = "/";'
WORKER: Final = b"webpack/runtime/import_scripts_chunk_loading"  # stands in each worker's script
_INLINE = re.compile(rb"<script>.*?</script>", re.DOTALL)


def adapted(name: str, data: bytes, prefix: str) -> bytes:
    """A file of the package as it is below `prefix`/viewer/."""
    root = f"{prefix}/viewer/".encode("ascii")
    if name == "index.html":
        # What its two inline scripts do is in `settings_of`, so that none has to be let in.
        return _INLINE.sub(b"", data).replace(b'="/', b'="' + root)
    if name.endswith(".css"):
        return data.replace(b"url(/", b"url(" + root)
    if name == "manifest.json":
        return data.replace(b'"/', b'"' + root)
    if name.endswith(".js") and BUILT_FOR_ROOT in data:
        here = BUILT_FOR_ROOT.replace(b"/", root)
        data = data.replace(BUILT_FOR_ROOT, here)
        return data.replace(b"'/dicom-micro", b"'" + root + b"dicom-micro")
    return data


@lru_cache(maxsize=8)
def settings_of(prefix: str) -> bytes:
    """app-config.js of a node under this prefix; it runs before the viewer.

    The page at / lists studies without their names standing in an address; OHIF's own list writes
    what is searched for into its address, but it is what OHIF leads back to, and stays.
    """
    settings = msgspec.json.encode(_settings(prefix))
    place = msgspec.json.encode(f"{prefix}/viewer/")
    return (
        b"window.config = %s;\nwindow.PUBLIC_URL = %s;\n"
        b"window.browserImportFunction = name => import(name);\n"
    ) % (settings, place)


def _settings(prefix: str) -> dict[str, Any]:
    root = f"{prefix}/dicomweb"
    return {
        "routerBasename": f"{prefix}/viewer",
        "extensions": [],
        "modes": [],
        "customizationService": {"ohif.tours": {"$set": []}},  # no tour covers the first image
        "showStudyList": True,
        "maxNumberOfWebWorkers": 3,
        "showWarningMessageForCrossOrigin": False,
        "showCPUFallbackMessage": True,
        "showLoadingIndicator": True,
        "strictZSpacingForVolumeViewport": True,
        "investigationalUseDialog": {"option": "never"},
        "defaultDataSourceName": DATA_SOURCE,
        "dataSources": [
            {
                "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                "sourceName": DATA_SOURCE,
                "configuration": {
                    "friendlyName": "Fileroom",
                    "name": DATA_SOURCE,
                    "qidoRoot": root,
                    "wadoRoot": root,
                    "qidoSupportsIncludeField": True,
                    "supportsReject": False,
                    "supportsFuzzyMatching": True,
                    "supportsWildcard": True,
                    "imageRendering": "wadors",
                    "thumbnailRendering": "wadors",
                    "enableStudyLazyLoad": True,
                    "dicomUploadEnabled": False,
                    "omitQuotationForMultipartRequest": True,
                    "bulkDataURI": {"enabled": True},
                },
            }
        ],
    }
