"""Real brokers for tests: folders as an operator makes them, encrootd processes, guests that ask."""

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import time
import uuid
from pathlib import Path

from ports import free_port
from program import ENCROOT, REFUSED, CommandTest, UnixConnection
from sanitizer import SANITIZED

BUILD = ENCROOT.parent
ENCROOTD = BUILD / "encrootd"
LOAD = BUILD / "encroot-load"
START_SECONDS = 60  # a busy machine, or a sanitizer


def until(what, condition, seconds=60, every=0.05):
    """Poll; returns the condition's first true value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


class Owner:
    """Keys, trust anchors, a policy for the guests of encroot-load, and volumes with secrets."""

    def __init__(self, test, kinds=("p521",)):
        self.test = test
        self.folder = test.folder
        self.keys = self.folder / "keys"
        self.tmm = self.folder / "tmm"
        self.load_folder = self.folder / "load"
        self.load_folder.mkdir()
        anchors = []
        for kind in kinds:
            subprocess.run([LOAD, "--state", self.tmm, "--kind", kind, "--prepare",
                            self.load_folder], check=True)
            anchors += [self.tmm / kind / "trust" / name for name in ("root.pem",
                                                                      "intermediate.pem")]
        test.encroot("init", self.keys, *(word for a in anchors for word in ("--trust", a)))
        self.reference = self.load_folder / "hash.json"
        self.rim = (self.load_folder / "rim").read_text()
        self.policy = self.folder / "policy.json"
        test.encroot("policy", "new", "-f", self.reference, "-m", self.rim, "-d", self.keys, "-o",
                     self.policy)
        self.volumes = {}  # uuid → secret

    def new_volume(self, broker, *options, name=None):
        """Register one; returns its uuid."""
        identity = str(uuid.uuid4())
        secret = os.urandom(32)
        key = self.folder / f"{identity}.key"
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secret)
        broker.encroot("volume", "add", "--uuid", identity, "-k", key, "-f", self.reference, "-p",
                       self.policy, *(["--name", name] if name else []), *options)
        self.volumes[identity] = secret
        return identity


class Broker:
    """One encrootd with a folder of its own; `settings` are lines of its configuration."""

    def __init__(self, owner, name="a", store=None, program=ENCROOTD, environment=None, prefix=(),
                 **settings):
        self.owner, self.name, self.line = owner, name, [*prefix, program]
        self.environment = {**os.environ, **(environment or {})}
        self.folder = owner.folder / f"broker-{name}"
        self.folder.mkdir()
        self.port, self.monitor_port = free_port(), free_port()
        self.socket = self.folder / "admin.sock"
        self.log_path = self.folder / "log"
        self.settings = {
            "name": name,
            "listen": f"127.0.0.1:{self.port}",
            "monitor-listen": f"127.0.0.1:{self.monitor_port}",
            "key": owner.keys / "broker.key",
            "certificate": owner.keys / "broker.crt",
            "kek": f"file:{owner.keys / 'vault.kek'}",
            "store": store or f"sqlite:{self.folder / 'broker.db'}",
            "admin-socket": self.socket,
            "workers": 2,
            "log-level": "debug",
            **{key.replace("_", "-"): value for key, value in settings.items()},
        }
        self.conf = self.folder / "encrootd.conf"
        self.write_conf()
        self.process = None
        owner.test.addCleanup(self.end)

    def write_conf(self):
        lines = []
        for key, value in self.settings.items():
            lines += [f"{key} = {v}\n" for v in (value if isinstance(value, list) else [value])]
        self.conf.write_text("".join(lines))

    # ---- life
    def start(self, wait=True):
        if self.process:
            self.log_file.close()
        self.log_file = self.log_path.open("ab")
        self.process = subprocess.Popen([*self.line, "-c", self.conf], env=self.environment,
                                        stdin=subprocess.DEVNULL, stdout=self.log_file,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=START_SECONDS):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"encrootd ended with {self.process.returncode}:\n{self.log()}")
            with contextlib.suppress(OSError):
                return self.monitor("/healthz")[0] == 200
        until(f"{self.name} is healthy", ready, seconds)

    def children(self, role=None):
        """{pid: title} of the processes of all generations."""
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    line = (stat.parent / "cmdline").read_bytes().decode(errors="replace")
                    if role is None or role in line.replace("\0", " "):
                        found[int(stat.parent.name)] = line.replace("\0", " ")
        return found

    def child(self, role):
        return until(f"a {role} process", lambda: list(self.children(role)))[0]

    def kill(self):
        """As a crash of the machine would: all of them at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=60):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def end(self):
        if SANITIZED and self.process and self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop(30)  # leaks are looked for at a proper end
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.process:
            self.log_file.close()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def reload(self):
        generation = self.metrics()["encroot_generation"]
        self.process.send_signal(signal.SIGHUP)
        until("a new generation", lambda: self.metrics()["encroot_generation"] > generation)

    # ---- doors
    def encroot(self, *arguments, **kwargs):
        """A command of the administration."""
        return self.owner.test.encroot(*arguments, "--broker", f"unix:{self.socket}", **kwargs)

    def api(self, method, path, body=None, headers=None):
        """(status, parsed body) of the administration's interface."""
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json", "X-Encroot-Admin": "1",
                                **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            if "json" in answer.getheader("Content-Type", "") and "nd" not in answer.getheader(
                    "Content-Type"):
                return answer.status, json.loads(text)
            return answer.status, text.decode()
        finally:
            connection.close()

    def monitor(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor_port,
                                                timeout=START_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        lines = self.monitor("/metrics")[1].splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines
                if line and not line.startswith("#")}

    def released(self):
        """How many secrets; it waits where the processes are new ones in this moment."""
        def ask():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return [self.metrics()["encroot_released_total"]]
        return until("its metrics", ask)[0]

    def audit(self):
        """All records, oldest first."""
        records = []
        while True:
            after = records[-1]["sequence"] if records else 0
            status, text = self.api("GET", f"/v1/audit?after={after}&limit=500")
            if status != 200:
                raise AssertionError(f"audit: {status} {text}")
            page = [json.loads(line) for line in text.splitlines()]
            if not page:
                return records
            records += page

    def decisions(self):
        """The records of guests; the others are changes."""
        return [r for r in self.audit() if r["verdict"] != "changed"]

    def resident(self, role=None):
        """Bytes of memory that its processes have for themselves (PSS)."""
        total = 0
        for pid in [*self.children(role), *([] if role else [self.process.pid])]:
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += 1024 * int(re.search(r"(?m)^Pss:\s+(\d+)", text)[1])
        return total


def load(brokers, volumes, *options, wait=True, timeout=600):
    """Guests that ask `brokers`; the figures, or with wait=False the process, for finish()."""
    owner = brokers[0].owner
    line = [LOAD, "--state", owner.tmm, "--certificate", owner.keys / "broker.crt"]
    for broker in brokers:
        line += ["--broker", f"127.0.0.1:{broker.port}"]
    for volume in volumes:
        line += ["--volume", volume]
    process = subprocess.Popen([str(word) for word in [*line, *options]], text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    owner.test.addCleanup(process.stdout.close)
    owner.test.addCleanup(process.wait)
    owner.test.addCleanup(process.kill)
    return figures(process, timeout) if wait else process


def finish(process, timeout=600):
    """No more guests: the figures of those that there were."""
    process.send_signal(signal.SIGTERM)
    return figures(process, timeout)


def figures(process, timeout=600):
    text = process.communicate(timeout=timeout)[0]
    if process.returncode != 0:
        raise AssertionError(f"encroot-load ended with {process.returncode}")
    return json.loads(text)


class BrokerTest(CommandTest):
    """Each test has an owner; brokers are made by it."""

    def setUp(self):
        super().setUp()
        self.owner = Owner(self)

    def broker(self, name="a", **settings):
        return Broker(self.owner, name, **settings).start()

    def assert_whole(self, broker, granted=None):
        """The chain verifies, and has so many releases; returns its decisions."""
        broker.encroot("audit", "verify")
        records = broker.audit()
        self.assertEqual([r["sequence"] for r in records], list(range(1, len(records) + 1)))
        if granted is not None:
            self.assertEqual(sum(r["verdict"] == "granted" for r in records), granted)
        return [r for r in records if r["verdict"] != "changed"]

    def assert_columns_are_verified(self, broker, sql):
        """What the store counts and finds records by, edited by `sql` for a record whose text stays."""
        record = broker.audit()[2]
        granted = int(record["verdict"] == "granted")
        self.assert_whole(broker)
        for column, edited, restored, found in (
                ("granted", "1 - granted", "1 - granted", f"expected {granted}, found {1 - granted}"),
                ("granted", "granted + 2", "granted - 2", f"found {granted + 2}"),
                ("time", "time - 86400", "time + 86400", r"expected \d+, found \d+"),
                ("time", "-time", "-time", r"found -\d+"),
                ("id", "id || 'x'", "substr(id, 1, 32)", f'expected "{record["id"]}", found'),
                ("volume", "NULL", "(SELECT volume FROM audit WHERE sequence = 2)",
                 f'expected "{record["volume"]}", found null')):
            with self.subTest(column=column, edited=edited):
                sql(f"UPDATE audit SET {column} = {edited} WHERE sequence = 3")
                done = broker.encroot("audit", "verify", status=REFUSED)
                self.assertRegex(done.stderr, f'record 3: the column "{column}" .*{found}')
                sql(f"UPDATE audit SET {column} = {restored} WHERE sequence = 3")
        self.assert_whole(broker)

    def assert_no_secret(self, *texts):
        """K5: no volume's secret in any form in which it could be written."""
        for secret in self.owner.volumes.values():
            for form in (secret, secret.hex().encode(), secret.hex().upper().encode(),
                         base64.b64encode(secret).rstrip(b"=")):
                for text in texts:
                    self.assertNotIn(form, text if isinstance(text, bytes) else text.encode())
