"""encrootd with a front that an attacker has taken over (tests/daemon/compromised-front.c)."""

import contextlib
import re
import signal
import socket
import ssl
import subprocess
import time
import unittest
import urllib.request

from ports import free_port
from program import ENCROOT, CommandTest
from sanitizer import SANITIZED

COMPROMISED = ENCROOT.parent / "tests" / "daemon" / "compromised-front"
LIST = subprocess.run([COMPROMISED, "--list"], check=True, text=True,
                      stdout=subprocess.PIPE).stdout.splitlines()
SYSTEM = [line.split()[1] for line in LIST if line.startswith("system ")]
WIRE = [line.split()[1] for line in LIST if line.startswith("wire ")]
VOLUME = "-".join(["ab" * 4] + 3 * ["ab" * 2] + ["ab" * 6])  # what forged evidence asks for
PATIENCE = 120  # seconds, for anything: the machine may be busy


def eventually(condition, what):
    """The first true value of condition()."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


class Broker:
    """The daemon in the test's folder "k", with one attack."""

    def __init__(self, test, attack):
        self.port, self.monitor = free_port(), free_port()
        (test.folder / "k/attack.conf").write_text(
            f"name = attack-{attack}\nlisten = 127.0.0.1:{self.port}\n"
            "certificate = broker.crt\nworkers = 2\nrequest-seconds = 10\n"
            f"monitor-listen = 127.0.0.1:{self.monitor}\n")
        self.log_path = test.folder / "log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen([COMPROMISED, "-c", test.folder / "k/attack.conf"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.guests = []
        test.addCleanup(self.end)

    def end(self):
        for guest in self.guests:
            guest.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for_outcome(self, attack):
        """Of an attack on the wires: it may be another process that ended first."""
        eventually(lambda: f"attack {attack}: " in self.log(), "its outcome")

    def get(self, path):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}{path}", timeout=5) as r:
                return r.read().decode()
        return ""

    def metric(self, name):
        """It waits where the processes are new ones in this moment."""
        text = eventually(lambda: self.get("/metrics"), f"metrics\n{self.log()}")
        return int(re.search(rf"^encroot_{name} (\d+)$", text, re.MULTILINE)[1])

    def dial(self):
        """Guests that wait: connections for the fronts to have."""
        with contextlib.suppress(OSError):
            self.guests.append(socket.create_connection(("127.0.0.1", self.port), timeout=5))

    def serves(self):
        """A real front answers: 404, for want of evidence."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["encroot/1"])
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), timeout=15) as s, \
                    context.wrap_socket(s) as t:
                t.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return t.recv(4096).startswith(b"HTTP/1.1 404 ")
        return False


class CompromisedFrontTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.encroot("init", "k")

    def forge(self, *defect):
        """k/attack.json, and what accepts it if there is no defect; the RIM."""
        return subprocess.run([COMPROMISED, "--forge", self.folder / "k", *defect], check=True,
                              text=True, stdout=subprocess.PIPE).stdout.strip()

    def register(self, rim):
        self.encroot("policy", "new", "-f", "k/hash.json", "-m", rim, "-d", "k", "--volume", VOLUME,
                     "-o", "policy.json", "--force")
        self.encroot("volume", "add", "--uuid", VOLUME, "-k", "k/rootfs_key.bin", "-p",
                     "policy.json", "--name", "web-1", f"--broker=unix:{self.folder}/k/admin.sock")

    def outcome(self, broker, attack):
        """What the attack says of itself, once the generation that it was in has ended."""
        eventually(lambda: broker.get("/healthz"), f"the broker\n{broker.log()}")

        def ended():
            self.assertIsNone(broker.process.poll(), broker.log())
            for _ in range(2):  # one connection for each front, at least
                broker.dial()
            return broker.metric("restarts_total") > 0

        eventually(ended, f"the end of the attack\n{broker.log()}")
        if attack in WIRE:
            broker.wait_for_outcome(attack)
        found = re.findall(rf"attack {attack}: (SAFE|BREACH) (.*)", broker.log())
        self.assertNotIn("BREACH", [verdict for verdict, _ in found], broker.log())
        return [text for _, text in found]

    def assert_recovers(self, broker):
        """A new generation serves, with no other hostile front, and nothing was released."""
        for guest in broker.guests:
            guest.close()
        eventually(broker.serves, f"service after the attack\n{broker.log()}")
        self.assertEqual(broker.metric("released_total"), 0)
        self.assertIsNone(broker.process.poll())

    def attack(self, name):
        (self.folder / "k/attack.done").unlink(missing_ok=True)
        broker = Broker(self, name)
        said = self.outcome(broker, name)
        self.assert_recovers(broker)
        broker.end()
        return said, broker

    @unittest.skipIf(SANITIZED, "the filter lets sanitizers open files and trace")
    def test_system_calls(self):
        for name in SYSTEM:
            with self.subTest(attack=name):
                said, broker = self.attack(name)
                self.assertEqual(said[0], "is tried now")
                if len(said) == 1:  # it did not live to tell
                    self.assertRegex(broker.log(), rf"signal {signal.SIGSYS.value}\b")

    def test_wires(self):
        self.forge()
        for name in WIRE:
            if name.startswith("evidence-"):
                continue
            with self.subTest(attack=name):
                said, _ = self.attack(name)
                self.assertTrue(said)

    def test_evidence_of_a_volume_that_is_not_there(self):
        self.forge()
        said, _ = self.attack("evidence-of-another-exporter")
        self.assertEqual(said, ["refused"])

    def registered(self, name):
        """The broker with VOLUME registered while the attack waits for its first connection."""
        rim = self.forge()
        broker = Broker(self, name)
        eventually(lambda: broker.get("/healthz") and (self.folder / "k/admin.sock").exists(),
                   f"the broker\n{broker.log()}")
        self.register(rim)
        return broker

    def test_evidence(self):
        for name in ("evidence-of-another-exporter", "evidence-elsewhere"):
            with self.subTest(attack=name):
                (self.folder / "k").rename(self.folder / f"before-{name}")
                self.encroot("init", "k")
                broker = self.registered(name)
                said = self.outcome(broker, name)
                self.assertNotIn("the secret", said)
                self.assert_recovers(broker)
                broker.end()

    def test_the_good_twin(self):
        """Evidence for the exporter that it is sent with: a front may do this, for each of its
        connections, and once. Without it the tests above could pass for another reason."""
        for name, expected in (("evidence-of-its-own", "BREACH the secret"),
                               ("evidence-twice", "SAFE a second decision for one connection")):
            with self.subTest(attack=name):
                (self.folder / "k").rename(self.folder / f"before-{name}")
                self.encroot("init", "k")
                broker = self.registered(name)

                def ended():
                    broker.dial()
                    return broker.metric("restarts_total") > 0

                eventually(ended, f"the end of the attack\n{broker.log()}")
                broker.wait_for_outcome(name)
                self.assertIn(f"attack {name}: {expected}", broker.log())
                self.assertEqual(broker.metric("released_total"), 1)
                broker.end()


if __name__ == "__main__":
    unittest.main()
