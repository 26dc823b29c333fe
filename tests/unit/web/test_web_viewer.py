"""The viewer as it is served: what was installed and nothing else, under the policy it needs."""

import hashlib
import json

import msgspec
import pytest

from dicomweb_fakes import call, world
from fileroom.web.viewer import FILES, MANIFEST, Installed, Manifest

HASHED = "chunk.bundle.0123456789abcdef0123.js"
CONTENT = {
    "index.html": b"<!doctype html><title>viewer</title>",
    HASHED: b"run()",
    "assets/dicom.wasm": b"\0asm",
    "odd.xyz": b"?",
}


def put(folder, content):
    """Install files, as `fileroom viewer install` does."""
    (folder / FILES).mkdir(parents=True, exist_ok=True)
    named = {}
    for name, data in content.items():
        digest = hashlib.sha256(data).hexdigest()
        (folder / FILES / digest).write_bytes(data)
        named[name] = Installed(digest, len(data))
    manifest = Manifest(package="@ohif/app", version="1.2.3", files=named)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))


@pytest.fixture
def there(tmp_path):
    """A door with a viewer behind it."""
    put(tmp_path / "viewer", CONTENT)
    return world(viewer_directory=tmp_path / "viewer")


@pytest.mark.parametrize(
    ("name", "media_type", "kept"),
    [
        ("index.html", "text/html; charset=utf-8", "no-cache"),
        (HASHED, "text/javascript; charset=utf-8", "max-age=31536000, immutable"),
        ("assets/dicom.wasm", "application/wasm", "no-cache"),
        ("odd.xyz", "application/octet-stream", "no-cache"),
    ],
)
async def test_a_file_comes_with_its_type_and_for_how_long_it_may_be_kept(
    there, name, media_type, kept
):
    reply = await call(there.app, "GET", f"/viewer/{name}")
    assert (reply.status, reply.body) == (200, CONTENT[name])
    assert reply.header("content-type") == media_type
    assert reply.all("cache-control") == [kept]
    assert reply.header("x-content-type-options") == "nosniff"
    again = {"if-none-match": reply.header("etag")}
    assert (await call(there.app, "GET", f"/viewer/{name}", headers=again)).status == 304
    assert there.coverage.asked == []


@pytest.mark.parametrize("place", ["", "viewer?StudyInstanceUIDs=1.2.3", "viewer/dicomweb", "x/y"])
async def test_a_place_inside_the_viewer_is_its_first_page(there, place):
    reply = await call(there.app, "GET", f"/viewer/{place}")
    assert (reply.status, reply.body) == (200, CONTENT["index.html"])


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "..", "../fileroom.json", "%2e%2e/fileroom.json", "files/..", "manifest.json",
     "/etc/passwd.txt", ".", "\x00.js"],
)  # fmt: skip
async def test_no_name_reaches_another_file(there, name, tmp_path):
    (tmp_path / "fileroom.json").write_text("mark")
    assert (await call(there.app, "GET", f"/viewer/{name}")).status == 404


async def test_the_viewer_lets_in_nothing_from_elsewhere(there):
    reply = await call(there.app, "GET", "/viewer/")
    (policy,) = reply.all("content-security-policy")
    assert "frame-ancestors 'none'" in policy
    for loose in ("'unsafe-eval'", "*", "http:", "https:"):
        assert loose not in policy.replace("'wasm-unsafe-eval'", "")
    (script,) = [each for each in policy.split("; ") if each.startswith("script-src")]
    assert "unsafe-inline" not in script
    assert reply.header("cross-origin-opener-policy") == "same-origin"
    assert reply.header("cross-origin-embedder-policy") == "require-corp"
    assert reply.header("referrer-policy") == "no-referrer"


@pytest.mark.parametrize("prefix", ["", "/images", "/a/b"])
async def test_the_settings_of_the_viewer_lead_to_this_node_and_nowhere_else(tmp_path, prefix):
    put(tmp_path, CONTENT)
    here = world(viewer_directory=tmp_path, prefix=prefix)
    reply = await call(here.app, "GET", f"{prefix}/viewer/app-config.js")
    assert reply.header("content-type") == "text/javascript; charset=utf-8"
    assert b"://" not in reply.body
    first, place, _ = reply.body.decode().splitlines()
    settings = json.loads(first.removeprefix("window.config = ").removesuffix(";"))
    assert place == f'window.PUBLIC_URL = "{prefix}/viewer/";'
    assert settings["routerBasename"] == f"{prefix}/viewer"
    (source,) = settings["dataSources"]
    for root in ("qidoRoot", "wadoRoot"):
        assert source["configuration"][root] == f"{prefix}/dicomweb"


@pytest.mark.parametrize("prefix", ["", "/images"])
async def test_a_package_that_was_built_for_the_root_of_a_host_works_below_it(tmp_path, prefix):
    built = b'__webpack_require__.p = "/";'
    put(
        tmp_path,
        {
            "index.html": b'<head><script>window.PUBLIC_URL="/"</script>'
            b'<script src="/app-config.js"></script>'
            b'<script defer src="/app.0123456789abcdef.js"></script></head>',
            "app.0123456789abcdef.js": b"f('/dicom-microscopy-viewer/x.js');" + built,
            "worker.0123456789abcdef.js": b"// webpack/runtime/import_scripts_chunk_loading\n"
            + built,
            "plain.0123456789abcdef.js": b"let p = '/';",
            "app.css": b"@font-face { src: url(/a.woff2) }",
            "manifest.json": b'{"icons":[{"src":"/assets/a.png"}]}',
        },
    )
    here = world(viewer_directory=tmp_path, prefix=prefix)
    replies = {
        name: await call(here.app, "GET", f"/viewer/{name}")
        for name in ("", "app.0123456789abcdef.js", "worker.0123456789abcdef.js", "app.css",
                     "plain.0123456789abcdef.js", "manifest.json")
    }  # fmt: skip
    root = f"{prefix}/viewer/".encode()
    page = replies[""].body
    assert page.count(b"<script") == 2  # none of them inline
    assert b'src="%sapp-config.js"' % root in page
    assert b'src="%sapp.0123456789abcdef.js"' % root in page
    assert replies["app.0123456789abcdef.js"].body == (
        b"f('%sdicom-microscopy-viewer/x.js');__webpack_require__.p = \"%s\";" % (root, root)
    )
    assert replies["app.css"].body == b"@font-face { src: url(%sa.woff2) }" % root
    assert b'"%sassets/a.png"' % root in replies["manifest.json"].body
    assert replies["plain.0123456789abcdef.js"].body == b"let p = '/';"
    eval_allowed = {
        name for name, each in replies.items()
        if "'unsafe-eval'" in each.header("content-security-policy").replace("wasm-unsafe-eval", "")
    }  # fmt: skip
    assert eval_allowed == {"worker.0123456789abcdef.js"}
    kept = {name for name, each in replies.items() if "immutable" in each.header("cache-control")}
    assert kept == {"plain.0123456789abcdef.js"}  # all others are another file elsewhere


async def test_where_no_viewer_is_the_page_says_in_a_sentence_how_one_comes_there(tmp_path):
    for here in (world(), world(viewer_directory=tmp_path / "viewer")):
        reply = await call(here.app, "GET", "/viewer/")
        assert reply.status == 404
        assert b"npm pack @ohif/app@" in reply.body
        assert b"fileroom viewer install" in reply.body


@pytest.mark.parametrize("prefix", ["", "/images"])
async def test_the_address_of_the_viewer_ends_with_a_slash(prefix):
    reply = await call(world(prefix=prefix).app, "GET", f"{prefix}/viewer")
    assert (reply.status, reply.header("location")) == (308, f"{prefix}/viewer/")


async def test_a_viewer_that_is_installed_is_served_at_once_and_linked_from_a_study(tmp_path):
    here = world(viewer_directory=tmp_path / "viewer")
    assert (await call(here.app, "GET", "/viewer/")).status == 404
    put(tmp_path / "viewer", CONTENT)
    assert (await call(here.app, "GET", "/viewer/")).body == CONTENT["index.html"]
    put(tmp_path / "viewer", {"index.html": b"another"})
    assert (await call(here.app, "GET", "/viewer/")).body == b"another"


async def test_a_damaged_file_is_not_run(there, tmp_path):
    path = tmp_path / "viewer" / FILES / hashlib.sha256(CONTENT[HASHED]).hexdigest()
    path.write_bytes(b"ran()")
    assert (await call(there.app, "GET", f"/viewer/{HASHED}")).status == 500
    path.unlink()
    assert (await call(there.app, "GET", f"/viewer/{HASHED}")).status == 503


async def test_a_damaged_manifest_is_no_viewer(tmp_path):
    put(tmp_path, CONTENT)
    (tmp_path / MANIFEST).write_bytes(b"{")
    here = world(viewer_directory=tmp_path)
    assert (await call(here.app, "GET", "/viewer/")).status == 500
