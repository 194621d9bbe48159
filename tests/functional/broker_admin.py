"""The broker's administration process alone (tests/daemon/admin-alone.c), and who talks to it."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from program import TOP, UnixConnection
from sanitizer import watch

ADMIN_ALONE = Path(os.environ.get("ENCROOT_BUILD", TOP / "build")) / "tests/daemon/admin-alone"
UUID = "91ff6f1b-bd8d-854b-9895-3c702895c1f8"
OTHER = "22222222-2222-4222-8222-222222222222"
HEX32 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
SECRET = base64.b64encode(bytes(range(32))).decode()
CHANGE = {"X-Encroot-Admin": "1", "Content-Type": "application/json"}
WAIVED = ["attestation-key", "platform-profile", "platform-implementation", "platform-instance",
          "platform-configuration", "platform-components"]


def values(first="a1", **members):
    """Reference values (hash.json) that can be told apart."""
    return {"grub": first + HEX32[2:], "grub.cfg": HEX32, "kernels": [], "hash_alg": "sha-256",
            **members}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.raw = response.read()

    @property
    def json(self):
        return json.loads(self.raw)

    @property
    def lines(self):
        return [json.loads(line) for line in self.raw.splitlines()]


class AdminTest(unittest.TestCase):
    """Each test has a process and a store of its own."""

    TLS = False

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="encroot-admin-"))
        self.addCleanup(shutil.rmtree, self.folder)
        watch(self)
        self.folder.chmod(0o755)
        self.prepare()
        self.start()

    def prepare(self):
        """Files that must be there before it starts."""

    def start(self):
        self.log = self.folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [ADMIN_ALONE, "serve", self.folder, *(["tls"] if self.TLS else [])],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.addCleanup(self.stop)
        line = self.process.stdout.readline()
        self.assertTrue(line, self.log.read_text())
        self.told = json.loads(line)
        self.port = self.told["port"]

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)

    def seed(self, *objects):
        """Records are behind those of what was changed before."""
        subprocess.run([ADMIN_ALONE, "seed", self.folder], check=True, text=True,
                       input="".join(json.dumps(o) + "\n" for o in objects))

    # ---- asking ----
    def ask(self, method, path, body=None, headers=None, status=200):
        """Over the UNIX socket. `body`: bytes as they are, or an object as JSON."""
        connection = UnixConnection(self.folder / "admin.sock")
        self.addCleanup(connection.close)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if headers is None:
            headers = {} if method == "GET" else CHANGE
        connection.request(method, path, data, headers)
        answer = Answer(connection.getresponse())
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.raw[:600]}")
        return answer

    def get(self, path, **more):
        return self.ask("GET", path, **more).json

    def refused(self, method, path, body=None, status=400, text="", headers=None):
        """An error with a text; returns it."""
        answer = self.ask(method, path, body, headers, status).json
        self.assertIn(text, answer["error"])
        return answer

    def ask_as(self, uid, gid, groups, path, *curl):
        """As another user, by curl: (status, text)."""
        out = subprocess.run(
            ["setpriv", f"--reuid={uid}", f"--regid={gid}",
             f"--groups={groups}" if groups else "--clear-groups", "curl", "-sS", "-w",
             "\n%{http_code}", "--unix-socket", self.folder / "admin.sock", *curl,
             f"http://localhost{path}"], check=True, text=True, stdout=subprocess.PIPE).stdout
        text, _, status = out.rpartition("\n")
        return int(status), text

    def events(self):
        """What it logged, as objects."""
        return [json.loads(line) for line in self.log.read_text().splitlines()
                if line.startswith("{")]

    # ---- what is put in ----
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "root.pem",
                            "-subj", "/CN=root"], cwd=folder, check=True,
                           stderr=subprocess.DEVNULL)
            cls.root = (Path(folder) / "root.pem").read_text()
            der = subprocess.run(["openssl", "x509", "-in", "root.pem", "-outform", "DER"],
                                 cwd=folder, check=True, stdout=subprocess.PIPE).stdout
        cls.root_pin = hashlib.sha256(der).hexdigest()

    def policy(self, **members):
        return {"version": 1, "platforms": ["virtcca"], "rim": [HEX32],
                "trust": {"roots": [self.root_pin], "certificates": [self.root]},
                "waive": WAIVED, **members}

    def volume(self, uuid=UUID, **members):
        return {"uuid": uuid, "secret": SECRET, "policy": self.policy(),
                "values": [{"label": "first", "text": values()}], **members}

    def add(self, uuid=UUID, **members):
        return self.ask("POST", "/v1/volumes", self.volume(uuid, **members), status=201).json

    @staticmethod
    def record(sequence, granted=True, volume=UUID, findings=(), peer="192.0.2.1 port 1",
               time=1767225600, evidence=""):
        """A record of the audit as the page and the lists need it."""
        stamp = __import__("time").strftime("%Y-%m-%dT%H:%M:%SZ", __import__("time").gmtime(time))
        text = json.dumps({
            "sequence": sequence, "id": f"{sequence:032x}", "time": stamp, "volume": volume,
            "verdict": "granted" if granted else "denied", "peer": peer, "broker": "broker-1",
            "platform": "virtcca", "findings": list(findings), "omitted": 0})
        return {"record": text, "sequence": sequence, "id": f"{sequence:032x}", "granted": granted,
                "volume": volume, "time": time, "evidence": evidence}

    @staticmethod
    def request(identity="0123456789abcdef0123456789abcdef", volume=UUID, peer="192.0.2.7 port 99",
                expires=600):
        return {"request": identity, "volume": volume, "peer": peer, "expires": expires}
