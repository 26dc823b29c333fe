"""Headless Chromium for tests, driven over its own pipe (--remote-debugging-pipe): the DevTools
protocol as JSON messages that end in NUL, so that no driver has to be installed or downloaded.

A page remembers every request, every one that failed or was refused, and every error that the
console shows, so that a test can say that there were none.
"""

import base64
import fcntl
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peers import program

WAIT_S = 60.0
LOOK_MS = 10_000  # less than WAIT_S, in which every question is to be answered
READ_BYTES = 1 << 20
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)
LOOPBACK = {"127.0.0.1", "localhost"}
OF_THE_PAGE = ("data:", "blob:", "about:")  # addresses that no request leaves the browser for
LOOKING = """new Promise(done => {
  const look = () => { let is; try { is = (%s) } catch {}
                       is ? done(is) : setTimeout(look, 100) };
  look(); setTimeout(() => done(null), %d) })"""


class Browser:
    """One Chromium. Messages that are no answers are kept for the pages they belong to."""

    def __init__(self, to: int, from_: int) -> None:
        self._to = to
        self._from = from_
        self._read = b""
        self._id = 0
        self.pages: dict[str, Page] = {}

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Ask for something and return the answer."""
        self._id += 1
        message: dict[str, Any] = {"id": self._id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        deadline_s = time.monotonic() + WAIT_S
        while True:
            answer = self._next(deadline_s)
            if answer.get("id") == self._id:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _next(self, deadline_s: float) -> Any:
        while b"\0" not in self._read:
            left_s = max(0.0, deadline_s - time.monotonic())
            readable, _, _ = select.select([self._from], [], [], left_s)
            if not readable:
                raise AssertionError("the browser does not answer")
            data = os.read(self._from, READ_BYTES)
            if not data:
                raise AssertionError("the browser is gone")
            self._read += data
        line, _, self._read = self._read.partition(b"\0")
        message = json.loads(line)
        page = self.pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.note(message["method"], message["params"])
        return message

    def page(self, *, width: int = 1280, height: int = 800) -> "Page":
        """A new tab, in a profile of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self.pages[session["sessionId"]] = Page(self, session["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        return page


class BrowserError(Exception):
    """The browser refuses what it was asked for."""


class Page:
    """One tab.

    Attributes:
        requests: the addresses of all requests.
        failures: requests without an answer, or answered 400 and above, and why.
        errors: what the console shows as an error, exceptions that nobody caught among them.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._addresses: dict[str, str] = {}
        self.requests: list[str] = []
        self.failures: list[str] = []
        self.errors: list[str] = []

    def call(self, method: str, **parameters: Any) -> Any:
        return self._browser.call(method, self._session, **parameters)

    def note(self, method: str, told: Any) -> None:
        """Take an event."""
        if method == "Network.requestWillBeSent":
            self._addresses[told["requestId"]] = told["request"]["url"]
            self.requests.append(told["request"]["url"])
        elif method == "Network.responseReceived" and told["response"]["status"] >= 400:
            self.failures.append(f"{told['response']['status']} {told['response']['url']}")
        elif method == "Network.loadingFailed" and not told.get("canceled"):
            address = self._addresses.get(told["requestId"], "?")
            self.failures.append(f"{told['errorText']} {address}")
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] == "error":
            said = [str(each.get("value", each.get("description"))) for each in told["args"]]
            self.errors.append(" ".join(said))

    @property
    def left_this_machine(self) -> list[str]:
        """Requests to another machine than this one."""
        return [
            each
            for each in self.requests
            if not each.startswith(OF_THE_PAGE) and urlsplit(each).hostname not in LOOPBACK
        ]

    def close(self) -> None:
        self.call("Page.close")

    def open(self, address: str) -> None:
        """Go to an address and return when it is loaded."""
        went = self.call("Page.navigate", url=address)
        assert "errorText" not in went, went
        self.until("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        told = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, condition: str, *, wait_s: float = WAIT_S) -> Any:
        """Return the value of an expression as soon as it holds: a number, a text, true."""
        deadline_s = time.monotonic() + wait_s
        while time.monotonic() < deadline_s:
            left_ms = round(1000 * (deadline_s - time.monotonic()))
            try:
                found = self.evaluate(LOOKING % (condition, min(max(1, left_ms), LOOK_MS)))
            except BrowserError:
                continue  # the page went to another address meanwhile
            if found:
                return found
        raise AssertionError(f"never: {condition}; errors {self.errors}, {self.failures}")

    def click(self, selector: str) -> None:
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str, code: int) -> None:
        """Press and let go of a key, as a keyboard does."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def wheel(self, x: float, y: float, delta: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def quiet_page(browser: Browser, **size: int) -> Iterator[Page]:
    """A tab. At the end no request has failed or left this machine, and no error was shown."""
    page = browser.page(**size)
    yield page
    assert page.failures == []
    assert page.errors == []
    assert page.left_this_machine == []
    page.close()


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser that ends with the `with`, its profile in a folder of the test."""
    found = program("chromium", package="chromium")
    to_read, to = _pipe()
    from_, from_write = _pipe()
    arguments = [found, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    if os.geteuid() == 0:
        arguments.insert(1, "--no-sandbox")
    quiet = os.open(profile.parent / "chromium.log", os.O_WRONLY | os.O_CREAT, 0o600)
    process = os.posix_spawn(
        found,
        arguments,
        {**os.environ, "HOME": str(profile.parent)},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, quiet, 2),
            (os.POSIX_SPAWN_DUP2, to_read, 3),
            (os.POSIX_SPAWN_DUP2, from_write, 4),
        ],
    )
    for each in (to_read, from_write, quiet):
        os.close(each)
    try:
        browser = Browser(to, from_)
        yield browser
        browser.call("Browser.close")
    finally:
        os.close(to)
        os.close(from_)
        _end(process)


def _pipe() -> tuple[int, int]:
    """A pipe whose descriptors are out of the way of 3 and 4."""
    ends = []
    for each in os.pipe():
        ends.append(fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 32))
        os.close(each)
    return ends[0], ends[1]


def _end(process: int) -> None:
    """Give the browser a moment to end by itself."""
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        if os.waitpid(process, os.WNOHANG)[0]:
            return
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
