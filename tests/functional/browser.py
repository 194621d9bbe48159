"""Headless Chromium by chromedriver: as much of WebDriver (W3C) as the tests of a page need."""

import base64
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
TAB, ENTER, SPACE, ESCAPE = "\ue004", "\ue007", " ", "\ue00c"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage"]

# TCP on a free port of 127.0.0.1 to a UNIX socket, as whoever runs it: prints the port.
BRIDGE = r"""
import socket, sys, threading
def copy(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def serve(client):
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(sys.argv[1])
    except OSError:
        client.close()
        return
    other = threading.Thread(target=copy, args=(client, server))
    other.start()
    copy(server, client)
    other.join()
    client.close()
    server.close()
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


class Bridge:
    def __init__(self, path, user=()):
        """`user`: arguments of setpriv, if not oneself."""
        self.process = subprocess.Popen(
            [*(["setpriv", *user] if user else []), shutil.which("python3", path="/usr/bin") or
             sys.executable, "-c", BRIDGE, str(path)], stdout=subprocess.PIPE, text=True)
        self.url = f"http://localhost:{int(self.process.stdout.readline())}/"

    def close(self):
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()


class Browser:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="encroot-browser-"))
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True,
                                       start_new_session=True)
        self.base = None
        for line in self.driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                self.base = f"http://127.0.0.1:{found[1]}"
                break
        self.session = None
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self):
        options = {"args": [*FLAGS, f"--user-data-dir={self.folder}"],
                   "binary": shutil.which("chromium")}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = f"/session/{answer['sessionId']}"

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method,
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def close(self):
        try:
            if self.session:
                self._call("DELETE", self.session)
        finally:
            self.driver.stdout.close()
            self.driver.terminate()  # its own process, by its id; it ends what it started
            try:
                self.driver.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.driver.send_signal(signal.SIGKILL)
                self.driver.wait()
            shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, url):
        self._call("POST", self.session + "/url", {"url": url})

    def run(self, script, *arguments):
        """JavaScript in the page; `return` gives the result."""
        return self._call("POST", self.session + "/execute/sync",
                          {"script": script, "args": list(arguments)})

    def wait(self, script, *arguments, seconds=60):
        """Until the expression is true; gives its value."""
        end = time.monotonic() + seconds
        while not (value := self.run(f"return {script}", *arguments)):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {script}\n{self.text()}")
            time.sleep(0.1)
        return value

    def text(self):
        return self.run("return document.body.innerText")

    def press(self, *keys):
        """On whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", self.session + "/actions",
                   {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def cdp(self, command, **parameters):
        return self._call("POST", self.session + "/goog/cdp/execute",
                          {"cmd": command, "params": parameters})

    def size(self, width, height, mobile=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=mobile)

    def scheme(self, name):
        self.cdp("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path):
        """The whole page."""
        size = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        image = self.cdp("Page.captureScreenshot", captureBeyondViewport=True, clip={
            "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1})
        Path(path).write_bytes(base64.b64decode(image["data"]))

    def complaints(self):
        """What the console says of errors."""
        return [e["message"] for e in self._call("POST", self.session + "/se/log",
                                                 {"type": "browser"}) if e["level"] == "SEVERE"]
