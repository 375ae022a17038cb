"""A page in Chromium, moved by mouse, fingers and keys: its developers' protocol over a pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")

CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)

_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
    "--hide-scrollbars",
)

#: The browser reads from 3 and writes to 4; ours may have any numbers, these too.
_LAUNCH = """
import os, sys
from fcntl import F_DUPFD, fcntl
ends = [fcntl(int(end), F_DUPFD, 10) for end in sys.argv[1:3]]
for end, number in zip(ends, (3, 4)):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""

#: Until the browser has answered [s]; the machine may be busy.
_PATIENCE = 60


class Browser:
    """One page; ``requests`` are the addresses it asked for, ``troubles`` its errors."""

    def __init__(self, *, width: int = 1400, height: int = 900, touch: bool = False) -> None:
        self.requests: list[str] = []
        self.troubles: list[str] = []
        self._number, self._rest = 0, b""
        self._profile = tempfile.mkdtemp()
        read_by_it, self._to = os.pipe()
        self._from, written_by_it = os.pipe()
        flags = [*_FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}"]
        ends = (str(read_by_it), str(written_by_it))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *ends, str(CHROMIUM), *flags, "about:blank"],
            pass_fds=(read_by_it, written_by_it),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_by_it)
        os.close(written_by_it)
        self._session = ""
        targets = self.call("Target.getTargets")["targetInfos"]
        (page,) = [target["targetId"] for target in targets if target["type"] == "page"][:1]
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        if touch:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
        raise TimeoutError(method)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser has ended"
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        event = json.loads(text)
        facts = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.troubles.append(str(facts["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.troubles.append(str(facts["entry"]))
        return event

    def open(self, path: Path) -> None:
        """Load a page and wait until it is there."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page and return its value."""
        told = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + _PATIENCE
        while not self.run(script):
            assert time.monotonic() < until, script
            time.sleep(0.05)

    def drag(self, x: float, y: float, to: float) -> None:
        """Press the mouse at a place, move it sideways and let go."""
        steps = (("mousePressed", x), ("mouseMoved", (x + to) / 2), ("mouseMoved", to))
        for kind, at in (*steps, ("mouseReleased", to)):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=at,
                y=y,
                button="left",
                buttons=1,
                clickCount=1,
            )

    def swipe(self, x: float, y: float, to: float) -> None:
        """Put a finger down at a place, move it sideways and lift it."""
        places = [x + (to - x) * part / 8 for part in range(9)]
        for number, at in enumerate(places):
            kind = "touchMove" if number else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": at, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )

    def screenshot(self, path: Path) -> None:
        """Take a picture of what is seen."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
