"""encrootd's frame: processes that start, fail, reload and stop. The roles are toys
(tests/daemon/toy-broker.c); supervisor, configuration, log, monitor and confinement are the real ones."""

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from sanitizer import watch

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ENCROOT_BUILD", TOP / "build"))
TOY = BUILD / "tests" / "daemon" / "toy-broker"
PATIENCE = 60


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{PATIENCE} s passed: {what() if callable(what) else what}")
        time.sleep(0.02)


def children(pid):
    """Live processes whose parent is `pid`: {pid: "role index"}."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            if not entry.name.isdigit():
                continue
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            if int(parent) == pid and state != "Z":
                words = (entry / "cmdline").read_bytes().split(b"\0")
                found[int(entry.name)] = b" ".join(words[2:4]).decode()
    return found


def is_ours(pid):
    try:
        return b"--process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


class Broker(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="encroot-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        watch(self)
        self.log = self.folder / "log"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notify.close)
        self.addCleanup(self.notify.shutdown, socket.SHUT_RDWR)
        self.notify.bind(str(self.folder / "notify"))
        self.messages = queue.Queue()
        threading.Thread(target=self.listen_to_notifications, daemon=True).start()
        self.process = None

    def listen_to_notifications(self):
        """As systemd does, always: sd_notify() waits when nobody reads."""
        with contextlib.suppress(OSError):
            while message := self.notify.recv(4096):
                self.messages.put(message.decode())

    def configure(self, name="toy", *lines, listen=("127.0.0.1:0",), seconds=5):
        text = [f"name = {name}", "workers = 2", f"request-seconds = {seconds}",
                "monitor-listen = 127.0.0.1:0"]
        text += [f"listen = {address}" for address in listen]
        (self.folder / "encrootd.conf").write_text("\n".join([*text, *lines]) + "\n")

    def start(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [TOY, "-c", self.folder / "encrootd.conf"], stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")})
        self.addCleanup(self.kill)

    def kill(self):
        pids = children(self.process.pid)  # they will be others' when it has gone
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        wait_until(lambda: not any(map(is_ours, pids)), "children outlive their supervisor")

    def started(self, *arguments, **options):
        self.configure(*arguments, **options)
        self.start()
        self.notified("READY=1")

    def text(self):
        return self.log.read_text(errors="replace")

    def notified(self, what):
        while True:
            try:
                message = self.messages.get(timeout=PATIENCE)
            except queue.Empty:
                self.fail(f"no {what}\n{self.text()}")
            if what in message:
                return message

    def port(self, key="listen", nth=-1):
        found = re.findall(rf"^supervisor: {key}: listening on \S+ port (\d+)$", self.text(), re.M)
        return int(found[nth])

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port()), timeout=PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def ask(self, connection):
        """The keeper's process number, through gate and keeper."""
        connection.sendall(b"?")
        answer = connection.makefile().readline()
        return int(answer) if answer else None

    def serving(self):
        """A keeper's number, or None if the generation went meanwhile."""
        with contextlib.suppress(OSError):
            with self.connect() as connection:
                return self.ask(connection)

    def keeper_changes(self, old):
        return wait_until(lambda: (new := self.serving()) and new != old and new,
                          lambda: f"no new generation\n{self.text()}")

    def roles(self):
        return sorted(children(self.process.pid).values())

    def stop(self, status=0):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE), status, self.text())

    def monitor(self, path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port('monitor-listen')}{path}",
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


ONE_GENERATION = sorted(["gate 0", "front 0", "front 1", "appraiser 0", "appraiser 1", "keeper 0",
                         "admin 0", "monitor 0"])


class Life(Broker):
    def test_starts_serves_and_stops(self):
        self.started()
        wait_until(lambda: self.roles() == ONE_GENERATION, self.roles)
        self.assertIn(self.serving(), children(self.process.pid))
        self.assertTrue((self.folder / "admin.sock").is_socket())
        self.assertEqual((self.folder / "admin.sock").stat().st_mode & 0o777, 0o600)
        self.stop()
        self.assertIn("STOPPING=1", self.notified("STOPPING"))
        self.assertFalse((self.folder / "admin.sock").exists())
        self.assertEqual(children(self.process.pid), {})

    def test_processes_have_their_own_descriptors_only(self):
        self.started()
        for pid, role in children(self.process.pid).items():
            status = Path(f"/proc/{pid}/status").read_text()
            self.assertRegex(status, r"NoNewPrivs:\s+1")
            self.assertRegex(status, r"Seccomp:\s+2")
            count = len(os.listdir(f"/proc/{pid}/fd"))
            # 0-2, control, a spare of it, and: gate 2·2 + 1 + 1, front 4, appraiser 2, keeper 2·2 + 2
            expected = {"gate": 11, "front": 9, "appraiser": 7, "keeper": 11, "admin": 7}
            if role.split()[0] in expected:
                self.assertEqual(count, expected[role.split()[0]], role)
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            self.assertNotIn(b"NOTIFY_SOCKET", environment)

    def test_dies_with_its_supervisor(self):
        self.started()
        pids = children(self.process.pid)
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not any(map(is_ours, pids)), "orphans")

    def test_stop_finishes_connections(self):
        self.started()
        connection = self.connect()
        keeper = self.ask(connection)
        self.process.send_signal(signal.SIGTERM)
        self.notified("STOPPING")
        self.assertEqual(self.ask(connection), keeper)
        connection.shutdown(socket.SHUT_RDWR)
        self.assertEqual(self.process.wait(PATIENCE), 0)

    def test_second_signal_stops_at_once(self):
        self.started()
        connection = self.connect()
        self.ask(connection)
        self.process.send_signal(signal.SIGTERM)
        self.notified("STOPPING")
        self.process.send_signal(signal.SIGINT)
        self.assertEqual(self.process.wait(PATIENCE), 0)

    def test_stop_has_an_end(self):
        self.started("stay-admin", seconds=1)
        begin = time.monotonic()
        self.stop()
        self.assertGreater(time.monotonic() - begin, 10)
        self.assertIn("did not end in time", self.text())


class Start(Broker):
    def fails(self, *expected):
        self.start()
        self.assertEqual(self.process.wait(PATIENCE), 1, self.text())
        for text in expected:
            self.assertIn(text, self.text())
        self.assertEqual(children(self.process.pid), {})
        self.assertFalse((self.folder / "admin.sock").exists())

    def test_the_reason_of_a_process_is_told(self):
        for role in "gate", "front", "appraiser", "keeper", "admin":
            with self.subTest(role):
                self.configure(f"fail-{role}")
                self.fails(f"error: {role}", f"cannot start as fail-{role} (change the name)")

    def test_a_crash_at_the_start_is_told(self):
        self.configure("crash-appraiser")
        self.fails("appraiser", "ended by signal 6")

    def test_a_crash_at_the_first_guest_is_no_bad_start(self):
        """The supervisor, busy elsewhere, hears of both at once."""
        self.configure("late-gate")
        self.start()
        self.notified("starting a new generation")
        self.notified("READY=1")
        self.assertIsNotNone(self.serving())
        self.assertIn("generation 1 failed: gate: ended by signal 6", self.text())
        self.stop()

    def test_bad_configurations(self):
        self.configure("toy", "wrokers = 3")
        self.fails("encrootd.conf: line 6: unknown key \"wrokers\"; did you mean \"workers\"?")
        (self.folder / "encrootd.conf").unlink()
        self.fails("encrootd.conf: No such file or directory", "encroot init")

    def test_address_in_use(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            self.configure("toy", listen=[f"127.0.0.1:{port}"])
            self.fails(f"listen: cannot listen on 127.0.0.1 port {port}: Address already in use",
                       f"ss -ltnp sport = :{port}")

    def test_admin_socket_in_use_and_left_over(self):
        path = self.folder / "admin.sock"
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            self.configure()
            self.start()
            self.assertEqual(self.process.wait(PATIENCE), 1)
            self.assertIn("is another encrootd running?", self.text())
            self.assertTrue(path.is_socket())
        self.start()
        self.notified("READY=1")  # nobody listens behind the name any more
        self.stop()

    def test_a_file_in_the_sockets_place_stays(self):
        path = self.folder / "admin.sock"
        path.write_text("precious")
        self.configure()
        self.start()
        self.assertEqual(self.process.wait(PATIENCE), 1)
        self.assertEqual(path.read_text(), "precious")


class Reload(Broker):
    def hangup(self):
        self.process.send_signal(signal.SIGHUP)
        self.notified("RELOADING=1")
        return self.notified("READY=1")

    def test_connections_and_sockets_outlive_it(self):
        self.started()
        connection, port = self.connect(), self.port()
        old = self.ask(connection)
        self.hangup()
        self.assertEqual(self.port(), port)
        new = self.keeper_changes(old)
        self.assertEqual(self.ask(connection), old)  # its generation is still there
        self.assertNotEqual(new, old)
        connection.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: self.roles() == ONE_GENERATION, "the old generation does not end")
        self.stop()

    def test_it_is_over_when_nobody_meets_the_old_any_more(self):
        """An old process that has not heard yet could still take a connection."""
        self.started()
        (old,) = [pid for pid, role in children(self.process.pid).items() if role == "admin 0"]
        os.kill(old, signal.SIGSTOP)
        self.process.send_signal(signal.SIGHUP)
        self.notified("RELOADING=1")
        wait_until(lambda: self.roles() == sorted([*ONE_GENERATION, "admin 0"]),
                   "the new generation does not start, or the old one does not drain")
        self.assertIn("\nencroot_generation 1\n", self.monitor("/metrics")[1])
        self.assertNotIn("generation 2 serves", self.text())
        os.kill(old, signal.SIGCONT)
        self.notified("READY=1")
        self.assertIn("\nencroot_generation 2\n", self.monitor("/metrics")[1])
        self.stop()

    def test_who_watches_is_answered_all_the_same(self):
        self.started()
        with socket.create_connection(("127.0.0.1", self.port("monitor-listen")), PATIENCE) as c:
            c.sendall(b"GET /healthz HTTP/1.1\r\n")
            self.monitor("/healthz")  # behind it, so it was accepted
            self.hangup()
            c.sendall(b"Host: b\r\n\r\n")
            self.assertTrue(c.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n"))
        wait_until(lambda: self.roles() == ONE_GENERATION, "the old generation does not end")
        self.stop()

    def test_who_watches_does_not_hold_up_the_end(self):
        """A byte at a time, so that it is never silent."""
        self.started()
        with socket.create_connection(("127.0.0.1", self.port("monitor-listen")), PATIENCE) as c:
            c.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
            self.monitor("/healthz")  # behind it, so it was accepted
            self.hangup()

            def over():
                with contextlib.suppress(OSError):
                    c.sendall(b"x")
                return self.roles() == ONE_GENERATION

            wait_until(over, "the old generation does not end")
        self.assertNotIn("did not end in time", self.text())
        self.stop()

    def test_no_connection_is_refused_meanwhile(self):
        self.started()
        for _ in range(5):
            self.process.send_signal(signal.SIGHUP)
            for _ in range(20):
                self.assertIsNotNone(self.serving())
        self.stop()

    def test_addresses_come_and_go(self):
        self.started()
        first = self.port()
        old = self.serving()
        self.configure("toy", listen=[f"127.0.0.1:{first}", "127.0.0.1:0"])
        # The port that was free is now a number: another socket, but the old one is in its way.
        self.assertIn("failed", self.hangup())
        self.assertIn("Address already in use", self.text())
        self.assertEqual(self.serving(), old)
        self.configure("toy", listen=["127.0.0.1:0", "127.0.0.2:0"])
        self.hangup()
        found = re.findall(r"listening on 127.0.0.2 port (\d+)", self.text())
        self.assertEqual(len(found), 1)
        self.assertEqual(len(re.findall(r" listen: listening on 127.0.0.1 ", self.text())), 1)
        with socket.create_connection(("127.0.0.2", int(found[0])), timeout=PATIENCE) as c:
            self.assertIsNotNone(self.ask(c))
        self.configure("toy", f"admin-socket = {self.folder}/other.sock", listen=["127.0.0.2:0"])
        self.hangup()
        self.assertFalse((self.folder / "admin.sock").exists())
        self.assertTrue((self.folder / "other.sock").is_socket())
        wait_until(lambda: self.refused(first), "the old address is still open")
        self.stop()

    def refused(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
            return False
        except ConnectionRefusedError:
            return True

    def test_a_failed_one_changes_nothing(self):
        self.started()
        old = self.serving()
        for name, line, expected in (("toy", "workers = 3", "\"workers\" is there twice"),
                                     ("fail-keeper", "", "cannot start as fail-keeper"),
                                     ("fail-gate", "", "cannot start as fail-gate")):
            with self.subTest(expected):
                self.configure(name, line)
                self.assertIn("the last reload failed", self.hangup())
                self.assertIn(expected, self.text())
                self.assertIn("reload failed", self.text())
                self.assertEqual(self.serving(), old)
        wait_until(lambda: self.roles() == ONE_GENERATION, "what failed does not end")
        self.configure()
        self.assertIn("generation", self.hangup())
        self.keeper_changes(old)
        self.stop()

    def test_stop_while_it_starts(self):
        self.started()
        self.configure("hang-keeper")
        self.process.send_signal(signal.SIGHUP)
        self.notified("RELOADING=1")
        wait_until(lambda: len(children(self.process.pid)) > len(ONE_GENERATION), "no reload")
        self.stop()


class Failure(Broker):
    def test_any_process_that_dies_is_replaced(self):
        self.started()
        for role in "gate 0", "front 1", "appraiser 0", "keeper 0", "admin 0", "monitor 0":
            with self.subTest(role):
                old = self.keeper_changes(None)
                victim = next(pid for pid, r in children(self.process.pid).items() if r == role)
                os.kill(victim, signal.SIGKILL)
                self.keeper_changes(old)
                wait_until(lambda: self.roles() == ONE_GENERATION,
                           lambda: f"not one generation: {self.roles()}")
                name = role if role.split()[0] in ("front", "appraiser") else role.split()[0]
                self.assertIn(f"failed: {name}: ended by signal 9", self.text())
        status, metrics = self.monitor("/metrics")
        self.assertIn("\nencroot_restarts_total 6\n", metrics)
        self.assertIn("\nencroot_generation 7\n", metrics)
        self.stop()

    def test_connections_wait_for_the_next_generation(self):
        self.started()
        old = self.serving()
        (gate,) = [pid for pid, role in children(self.process.pid).items() if role == "gate 0"]
        descriptors = lambda: len(os.listdir(f"/proc/{gate}/fd"))
        wait_until(lambda: descriptors() == 11, "the gate does not let go of a connection")
        os.kill(old, signal.SIGSTOP)  # its gate waits for it: nobody accepts
        connection = self.connect()
        connection.sendall(b"?")
        wait_until(lambda: descriptors() == 12, "the gate takes no connection")
        waiting = self.connect()
        waiting.sendall(b"?")
        os.kill(old, signal.SIGKILL)
        self.assertNotIn(waiting.makefile().readline(), ("", f"{old}\n"))
        waiting.shutdown(socket.SHUT_RDWR)
        self.stop()

    def test_restarts_slow_down(self):
        self.started()
        for number in range(4):
            old = self.keeper_changes(None)
            os.kill(old, signal.SIGKILL)
            self.keeper_changes(old)
        waits = [int(ms) for ms in re.findall(r"in (\d+) ms", self.text())]
        self.assertEqual(waits, [100, 200, 400, 800])
        self.stop()


class Monitor(Broker):
    def test_health_and_metrics(self):
        self.started()
        self.assertEqual(self.monitor("/healthz"), (200, "ok\n"))
        status, text = self.monitor("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("\nencroot_store_up 1\n", text)
        self.assertIn("\nencroot_generation 1\n", text)
        self.assertIn("encroot_build_info{version=", text)
        self.assertEqual(self.monitor("/")[0], 404)
        self.assertEqual(self.monitor("/metrics/x")[0], 404)
        for method in "POST", "PUT", "DELETE", "OPTIONS", "PATCH":
            self.assertEqual(self.monitor("/healthz", method)[0], 405, method)
        self.stop()

    def test_a_store_that_is_down_is_unhealthy(self):
        self.started("store-down")
        status, text = self.monitor("/healthz")
        self.assertEqual(status, 503)
        self.assertIn("store", text)
        self.stop()

    def test_crowds_and_nonsense_do_not_end_it(self):
        self.started()
        address = ("127.0.0.1", self.port("monitor-listen"))
        crowd = [socket.create_connection(address, timeout=PATIENCE) for _ in range(300)]
        for connection in crowd:
            self.addCleanup(connection.close)
        crowd[0].sendall(b"\0\xff" * 100 + b"\r\n\r\n")
        crowd[1].sendall(b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n")
        # There are more of them than it has descriptors: it answers when the first are too old.
        self.assertEqual(self.monitor("/healthz"), (200, "ok\n"))
        self.assertIn("generation 1 serves", self.text().splitlines()[-1])
        self.assertEqual(self.roles(), ONE_GENERATION)
        self.stop()


class Log(Broker):
    def test_json(self):
        self.configure("toy", "log = json")
        self.start()
        self.notified("READY=1")
        self.stop()
        lines = [json.loads(line) for line in self.text().splitlines()]
        self.assertTrue(any(line["message"] == "generation 1 serves" for line in lines))
        self.assertEqual({line["process"] for line in lines} - {"encrootd"}, {"supervisor"})

    def test_a_failed_start_is_an_error_in_the_journal(self):
        with self.log.open("wb") as log:
            stream = os.fstat(log.fileno())
            status = subprocess.run(
                [TOY, "-c", self.folder / "none.conf"], stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"},
                timeout=PATIENCE).returncode
        self.assertEqual(status, 1)
        self.assertRegex(self.text(), r"\A<3>encrootd: \S+/none.conf: No such file .*init.*\n\Z")


class Command(Broker):
    def run_toy(self, *arguments):
        return subprocess.run([TOY, *map(str, arguments)], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=PATIENCE)

    def check(self, *lines):
        path = self.folder / "encrootd.conf"
        path.write_text("".join(line + "\n" for line in lines))
        return self.run_toy("--check", "-c", path)

    def make_identity(self, key, certificate):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout",
                        self.folder / key, "-out", self.folder / certificate], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def test_help_and_version(self):
        self.assertIn("Usage: encrootd", self.run_toy("--help").stdout)
        self.assertRegex(self.run_toy("--version").stdout, r"^encrootd \d")
        for wrong in ("--chekc",), ("file",), ("-c",):
            self.assertEqual(self.run_toy(*wrong).returncode, 2)
        self.assertNotEqual(self.run_toy("--process", "gate", "0", "x", "1,").returncode, 0)

    def test_check(self):
        result = self.check()
        self.assertEqual(result.returncode, 4)
        self.assertIn("broker.crt: No such file", result.stderr)
        self.make_identity("broker.key", "broker.crt")
        result = self.check()
        self.assertIn("kek: ", result.stderr)
        kek = self.folder / "vault.kek"
        kek.write_bytes(bytes(32))
        result = self.check()
        self.assertIn("key file is open to others", result.stderr)
        kek.chmod(0o600)
        result = self.check()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("encrootd.conf is good", result.stdout)
        (self.folder / "pgpass").write_text("*:*:*:*:x\n")
        (self.folder / "pgpass").chmod(0o640)
        (self.folder / "encrootd.conf").chmod(0o644)
        for line, expected in (
                ("store-password-file = pgpass", "pgpass: open to others (mode 640)"),
                ("store = postgresql://u:pw@host/db", "a password in a file that is open to others"),
                ("store = postgresql:///db?password=pw", "a password in a file that is open"),
                ("wrokers = 3", "line 1: unknown key"),
                ("key = other.key", "other.key"),
                ("store = sqlite:/nowhere/x.db", "cannot write to /nowhere"),
                ("store-password-file = none", "store-password-file: "),
                ("kek-old = file:old", "kek-old: "),
                ("admin-group = no-such-group", "there is no group \"no-such-group\""),
                ("admin-socket = /nowhere/s", "cannot write to /nowhere")):
            with self.subTest(line):
                result = self.check(line)
                self.assertEqual(result.returncode, 4)
                self.assertIn(expected, result.stderr)
        self.assertEqual(self.check("store = postgresql://u@[::1]/db").returncode, 0)
        (self.folder / "encrootd.conf").chmod(0o600)
        self.assertEqual(self.check("store = postgresql://u:pw@host/db").returncode, 0)
        self.make_identity("other.key", "other.pem")
        self.assertIn("its private key is not the one", self.check("key = other.key").stderr)


if __name__ == "__main__":
    unittest.main()
