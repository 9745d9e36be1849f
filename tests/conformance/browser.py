"""A real browser without a window, cut off from every network but this machine, driven by its debugging protocol."""

import base64
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.sync.client import ClientConnection, connect

WAIT_SECONDS = 30.0

KEY_NUMBERS = {"Tab": 9, "Shift": 16, "Escape": 27}
"""What Windows calls the keys, which the protocol asks for."""

# A strict policy is only proven if nothing complains about it; the page's own complaints count too.
WATCH = """
window.complaints = [];
addEventListener("securitypolicyviolation", (event) =>
  complaints.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
addEventListener("error", (event) => complaints.push(String(event.message)));
addEventListener("unhandledrejection", (event) => complaints.push(String(event.reason)));
"""


@contextmanager
def browsing(program: str, directory: Path, *, dark: bool = False, size: str = "1440,900") -> Iterator["Page"]:
    """Open a page of a fresh browser; names of other machines cannot even be looked up."""
    arguments = [
        program,
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--remote-debugging-port=0",
        f"--user-data-dir={directory / 'profile'}",
        f"--window-size={size}",
        *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        "about:blank",
    ]
    with (directory / "browser.log").open("wb") as log:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        with connect(_debugger(process, directory), max_size=None) as connection:
            page = Page(connection)
            page.prepare(dark=dark)
            yield page
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Page:
    """What a person does with a page: look, click, type."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.requested: list[str] = []
        """Every address that the page asked for, in order."""

    def prepare(self, *, dark: bool) -> None:
        """Watch what it asks for and complains of, and say which colours the reader likes."""
        self._call("Page.enable")
        self._call("Network.enable")
        self._call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        colours = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=colours)

    def goto(self, url: str) -> None:
        """Load an address."""
        self._call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """Give the value of an expression, awaited if it is a promise."""
        answer = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression holds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"never true: {condition}\n{self.text()[:3000]}"
            time.sleep(0.05)

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.evaluate("document.body.innerText"))

    def click(self, selector: str) -> None:
        """Click on the middle of the first element that matches, once it is there."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.wait(element)
        self.evaluate(f"{element}.scrollIntoView({{block: 'nearest'}})")
        box = self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({element}.getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type where the cursor is."""
        self._call("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key that writes nothing, such as Tab, and let it go."""
        for kind in ("rawKeyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=KEY_NUMBERS[key],
                modifiers=8 if shift else 0,
            )

    def hold_telephone(self, width: int, height: int) -> None:
        """Show the page on a small screen that is touched."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)
        self._call("Emulation.setTouchEmulationEnabled", enabled=True)

    def swipe_left(self, selector: str) -> None:
        """Draw a finger over the first element that matches, from its right to its left."""
        left, right, y = self.evaluate(
            "(({left, right, top, bottom}) => [left + 20, right - 20, (top + bottom) / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        self._call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": right, "y": y}])
        for step in range(1, 17):
            x = right + (left - right) * step / 16
            self._call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y}])
            time.sleep(0.016)  # a frame
        self._call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files where the first element that matches asks for them."""
        self.wait(f"document.querySelector({json.dumps(selector)})")
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        found = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=found, files=[str(file) for file in files])

    def screenshot(self, file: Path) -> None:
        """Keep what can be seen, as a PNG."""
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    @property
    def complaints(self) -> list[str]:
        """What broke the page's rules, or broke."""
        return list(self.evaluate("complaints"))

    @property
    def strangers(self) -> list[str]:
        """Addresses of other machines that were asked for."""
        addresses = [address for address in self.requested if not address.startswith(("data:", "blob:", "about:"))]
        return [address for address in addresses if urlsplit(address).hostname != "127.0.0.1"]

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(WAIT_SECONDS))
            if message.get("method") == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result


def _debugger(process: subprocess.Popen[bytes], directory: Path) -> str:
    """Wait for the browser's debugging port, and give the address of its page there."""
    deadline = time.monotonic() + WAIT_SECONDS
    port_file = directory / "profile" / "DevToolsActivePort"
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.exists() and (lines := port_file.read_text().splitlines()):
            with httpx.Client(trust_env=False) as client:
                targets = client.get(f"http://127.0.0.1:{lines[0]}/json").json()
            for target in targets:
                if target["type"] == "page":
                    return str(target["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise RuntimeError(f"The browser did not start:\n{(directory / 'browser.log').read_text(errors='replace')}")
