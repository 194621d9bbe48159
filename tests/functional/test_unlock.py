"""encroot unlock, against guests that show good and forged evidence on a live connection."""

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import threading
import time
import unittest

from program import (BAD_INPUT, ENCROOT, FAILED, REFUSED, UNREACHABLE, USAGE, CommandTest)

FORGE = ENCROOT.parent / "tests" / "functional"
DEFECTS = subprocess.run([FORGE / "forge-evidence", "--list"], check=True, text=True,
                         stdout=subprocess.PIPE).stdout.split()
VOLUME = "-".join(["ab" * 4] + 3 * ["ab" * 2] + ["ab" * 6])  # what forge-guest asks for


class Guest:
    """A forge-guest in the test's folder "k"; its words are in .said once it has ended."""

    def __init__(self, test, *options):
        self.process = subprocess.Popen([FORGE / "forge-guest", test.folder / "k", *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        test.addCleanup(self.end)
        self.port = int(self.process.stdout.readline().split()[1])
        self.rim = self.process.stdout.readline().split()[1]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def said(self):
        return self.process.communicate(timeout=60)[0]


class UnlockTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.encroot("init", "k")
        self.key = (self.folder / "k/rootfs_key.bin").read_bytes()

    def unlock(self, guest, *options, wait=10, **kwargs):
        return self.encroot("unlock", "-i", "127.0.0.1", "-p", guest.port, "-m", guest.rim, "-f",
                            "k/hash.json", "-d", "k", "--wait", wait, *options, **kwargs)

    def log(self):
        path = self.folder / "k/audit.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def assert_no_secret(self, *texts):
        """K5"""
        for text in texts:
            for form in (self.key.hex(), self.key.hex().upper()):
                self.assertNotIn(form, text)


class Released(UnlockTest):
    def test_good_evidence_gets_the_key(self):
        guest = Guest(self)
        result = self.unlock(guest, "--save-evidence", "evidence.json")
        self.assertEqual(guest.said(), f"secret {hashlib.sha256(self.key).hexdigest()}\n")
        self.assertIn(f"released the key of volume {VOLUME}", result.stdout)
        (line,) = self.log()
        self.assertEqual((line["verdict"], line["volume"]), ("granted", VOLUME))
        self.assertEqual(line["peer"], f"127.0.0.1:{guest.port}")
        self.assertRegex(line["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertIn(line["id"], result.stdout)
        self.assertEqual({f["verdict"] for f in line["findings"]}, {"pass", "waived"})
        self.assertIn(f"recorded: 1, {line['hash']}\n", result.stdout)
        saved = (self.folder / "evidence.json").read_bytes()
        self.assertEqual(line["evidence_sha256"], hashlib.sha256(saved).hexdigest())
        self.assertEqual((self.folder / "k/audit.log").stat().st_mode & 0o777, 0o600)
        self.assert_no_secret(result.stdout, result.stderr, saved.decode(),
                              (self.folder / "k/audit.log").read_text())
        # The saved evidence says the same again, offline.
        self.encroot("evidence", "appraise", "evidence.json", "-m", guest.rim, "-f", "k/hash.json",
                     "-d", "k")

    def test_as_json(self):
        guest = Guest(self)
        result = self.unlock(guest, "--json")
        report = json.loads(result.stdout)
        self.assertEqual((report["released"], report["delivered"], report["exit"]), (True, True, 0))
        self.assertEqual(report["volume"], VOLUME)
        self.assertEqual(report["appraisal"]["verdict"], "pass")
        (line,) = self.log()
        self.assertEqual(report["record"], {"sequence": 1, "hash": line["hash"]})
        self.assertEqual(result.stderr, "")

    def test_any_of_several_rims(self):
        guest = Guest(self)
        self.unlock(guest, "-m", "00" * 32)
        self.assertIn("secret", guest.said())

    def test_defaults_are_the_current_folder(self):
        guest = Guest(self)
        subprocess.run([ENCROOT, "unlock", "-i", "localhost", "-p", str(guest.port), "-m",
                        guest.rim.upper(), "-f", "hash.json"], check=True, timeout=60,
                       cwd=self.folder / "k", stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.assertIn("secret", guest.said())

    def test_another_key_file(self):
        (self.folder / "other.bin").write_bytes(os.urandom(32))
        (self.folder / "other.bin").chmod(0o600)
        guest = Guest(self)
        self.unlock(guest, "-k", "other.bin")
        self.assertIn(hashlib.sha256((self.folder / "other.bin").read_bytes()).hexdigest(),
                      guest.said())

    def test_this_volume_only(self):
        guest = Guest(self)
        self.unlock(guest, "--volume", VOLUME)
        self.assertIn("secret", guest.said())


class Refused(UnlockTest):
    def assert_refused(self, guest, result, *texts):
        said = guest.said()
        # K4: a code and a correlation id, nothing else.
        found = re.fullmatch(r'status 403 \{"code": "denied", "id": "([0-9a-f]{32})"\}\n', said)
        self.assertTrue(found, said)
        self.assertIn(found[1], result.stdout)
        line = self.log()[-1]
        self.assertEqual((line["verdict"], line["id"]), ("denied", found[1]))
        self.assertIn("reject", [f["verdict"] for f in line["findings"]])
        for text in texts:
            self.assertIn(text, result.stdout)
        self.assert_no_secret(result.stdout, result.stderr, said)

    def test_every_defect(self):
        """E1 to E16 and changed parts, each on a connection of its own."""
        self.assertGreater(len(DEFECTS), 15)
        for defect in DEFECTS:
            with self.subTest(defect):
                guest = Guest(self, "--defect", defect)
                self.assert_refused(guest, self.unlock(guest, status=REFUSED))

    def test_the_operator_is_told_what_differed(self):
        guest = Guest(self, "--defect", "e7-shell-as-init")
        self.assert_refused(guest, self.unlock(guest, status=REFUSED), "init=/bin/sh")

    def test_as_json(self):
        guest = Guest(self, "--defect", "changed-initramfs")
        report = json.loads(self.unlock(guest, "--json", status=REFUSED).stdout)
        self.assertEqual((report["released"], report["delivered"], report["exit"]),
                         (False, False, REFUSED))
        self.assertEqual(report["appraisal"]["verdict"], "reject")

    def test_replay(self):
        """E14: the very evidence that was good on the connection before."""
        guest = Guest(self, "--do", "replay", "--times", "2")
        self.unlock(guest)
        self.unlock(guest, status=REFUSED)
        first, second = guest.said().splitlines()
        self.assertTrue(first.startswith("secret "), first)
        self.assertTrue(second.startswith("status 403 "), second)
        self.assertEqual([line["verdict"] for line in self.log()], ["granted", "denied"])

    def test_another_rim(self):
        guest = Guest(self)
        guest.rim = "11" * 32
        self.assert_refused(guest, self.unlock(guest, status=REFUSED), "11" * 32)

    def test_another_volume(self):
        guest = Guest(self)
        other = VOLUME.replace("ab", "cd")
        self.assert_refused(guest, self.unlock(guest, "--volume", other, status=REFUSED), VOLUME,
                            other)

    def test_nothing_is_released_without_the_evidence_that_was_asked_for(self):
        guest = Guest(self)
        result = self.unlock(guest, "--save-evidence", "no/such/folder", status=FAILED)
        self.assertIn("no/such", result.stderr)
        self.assertRegex(guest.said(), r"^status 503 ")
        self.assertEqual(self.log(), [])


class Strange(UnlockTest):
    """Guests that do something else."""

    def test_requests_that_are_none(self):
        for what, status in (("get", 405), ("other-path", 404), ("other-type", 415),
                             ("no-evidence", 400), ("garbage", 400)):
            with self.subTest(what):
                guest = Guest(self, "--do", what)
                result = self.unlock(guest, status=FAILED)
                self.assertRegex(guest.said(), rf'^status {status} \{{"code": "[a-z-]+", "id": '
                                               r'"[0-9a-f]{32}"\}\n$')
                self.assertTrue(result.stderr.startswith("encroot: "), result.stderr)

    def test_evidence_that_cannot_be_read_is_recorded(self):
        for what in ("no-evidence", "garbage"):
            with self.subTest(what):
                guest = Guest(self, "--do", what)
                result = self.unlock(guest, "--save-evidence", "kept.json", status=FAILED)
                found = re.fullmatch(r'status 400 \{"code": "bad-request", "id": "(\w{32})"\}\n',
                                     guest.said())
                line = self.log()[-1]
                self.assertEqual((line["verdict"], line["id"], line["findings"][0]["check"]),
                                 ("denied", found[1], "request"))
                self.assertEqual(line["peer"], f"127.0.0.1:{guest.port}")
                self.assertEqual((line["volume"], line["platform"], line["evidence_sha256"]),
                                 (None, None, None))
                came = {"no-evidence": b"{}", "garbage": b"\0\xff["}[what]
                self.assertEqual(line["request_sha256"], hashlib.sha256(came).hexdigest())
                self.assertIn("reject  request\n", result.stdout)
                self.assertFalse((self.folder / "kept.json").exists())
        self.assertEqual(len(self.log()), 2)

    def test_evidence_that_cannot_be_read_as_json(self):
        guest = Guest(self, "--do", "garbage")
        report = json.loads(self.unlock(guest, "--json", status=FAILED).stdout)
        self.assertEqual((report["released"], report["appraisal"]["verdict"]), (False, "reject"))
        self.assertNotIn("volume", report)

    def test_a_guest_that_writes_to_the_terminal(self):
        """Its text is shown, not obeyed; and as JSON it stays JSON."""
        guest = Guest(self, "--do", "escape", "--times", "2")
        result = self.unlock(guest, status=FAILED)
        self.assertIn("?[2J??2J", result.stderr)
        self.assertEqual([c for c in result.stderr if c < " " and c != "\n" or c == "\x9b"], [])
        self.assertIn("2J", json.loads(self.unlock(guest, "--json", status=FAILED).stdout)["error"])

    def test_a_guest_of_another_broker(self):
        guest = Guest(self, "--do", "expect-another-broker")
        result = self.unlock(guest, status=UNREACHABLE)
        self.assertIn("does not accept this broker's key", result.stderr)
        self.assertIn("hint: ", result.stderr)
        self.assertEqual(self.log(), [])

    def test_a_guest_that_leaves(self):
        """The key may or may not have arrived: never a success."""
        for what in ("leave-before-answer", "rude"):
            with self.subTest(what):
                guest = Guest(self, "--do", what)
                result = self.unlock(guest, status=UNREACHABLE)
                self.assertIn("before it confirmed", result.stderr)
                self.assertNotIn("released the key", result.stdout)

    def test_a_guest_that_hangs_up_is_tried_again(self):
        """As a port forwarder does before the guest listens."""
        guest = Guest(self, "--do", "hang-up", "--times", "3")
        start = time.monotonic()
        result = self.unlock(guest, wait=3, status=UNREACHABLE)
        self.assertEqual(guest.said(), "hung up\n" * 3)
        self.assertGreater(time.monotonic() - start, 2.5)
        self.assertIn("hint: ", result.stderr)


class Unreachable(UnlockTest):
    def options(self):
        guest = Guest(self)  # makes trust/ and hash.json
        guest.end()
        return guest

    def test_nobody_listens(self):
        guest = self.options()
        result = self.unlock(guest, wait=1, status=UNREACHABLE)
        self.assertIn(f"127.0.0.1 port {guest.port}: Connection refused", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_no_waiting(self):
        start = time.monotonic()
        self.unlock(self.options(), wait=0, status=UNREACHABLE)
        self.assertLess(time.monotonic() - start, 5)

    def test_somebody_who_is_no_guest(self):
        guest = self.options()
        with socket.create_server(("127.0.0.1", 0)) as server:
            guest.port = server.getsockname()[1]

            def speak():
                peer, _ = server.accept()
                with peer:
                    peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                    with contextlib.suppress(ConnectionResetError):
                        while peer.recv(4096):
                            pass

            threading.Thread(target=speak, daemon=True).start()
            result = self.unlock(guest, wait=2, status=UNREACHABLE)
            self.assertIn("TLS handshake", result.stderr)

    def test_a_guest_that_says_nothing(self):
        guest = Guest(self, "--do", "say-nothing")
        result = self.unlock(guest, wait=1, status=UNREACHABLE)
        self.assertIn("time-out", result.stderr)

    def test_it_waits_for_a_guest_that_starts_late(self):
        guest = self.options()
        with socket.socket() as late:
            late.bind(("127.0.0.1", 0))
            process = subprocess.Popen(
                [ENCROOT, "unlock", "-i", "127.0.0.1", "-p", str(late.getsockname()[1]), "-m",
                 guest.rim, "-f", "k/hash.json", "-d", "k", "--wait", "60"], cwd=self.folder,
                text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE)
            self.addCleanup(process.stderr.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            self.assertRegex(process.stderr.readline(), "^waiting up to 60 s for the guest")
            late.settimeout(60)
            late.listen()
            late.accept()[0].close()

    def test_a_name_that_is_none(self):
        guest = self.options()
        result = self.encroot("unlock", "-i", "no-such-host.invalid", "-m", guest.rim, "-f",
                              "k/hash.json", "-d", "k", "--wait", "0", status=UNREACHABLE)
        self.assertIn("no-such-host.invalid", result.stderr)

    def test_as_json(self):
        report = json.loads(self.unlock(self.options(), "--json", wait=0, status=UNREACHABLE).stdout)
        self.assertEqual((report["released"], report["exit"]), (False, UNREACHABLE))
        self.assertIn("Connection refused", report["error"])
        self.assertIn("hint", report)


class WrongInput(UnlockTest):
    """Found before any guest is disturbed: nobody listens on the port."""

    def setUp(self):
        super().setUp()
        self.guest = Guest(self)
        self.guest.end()

    def wrong(self, text, *options, status=BAD_INPUT):
        result = self.unlock(self.guest, *options, status=status, wait=0)
        self.assertIn(text, result.stderr)
        self.assertEqual(result.stdout, "")
        return result

    def test_missing_options(self):
        full = ["-i", "::1", "-m", "00" * 32, "-f", "hash.json"]
        for i, name in ((0, "-i"), (2, "-m"), (4, "-f")):
            result = self.encroot("unlock", *full[:i], *full[i + 2:], status=USAGE)
            self.assertIn(f"{name} ", result.stderr.splitlines()[0])

    def test_ports(self):
        for port in ("0", "65536", "-1", "http", "7220x", ""):
            self.wrong("--port", "-p", port, status=USAGE)

    def test_volumes(self):
        self.wrong("not-a-uuid", "--volume", "not-a-uuid", status=USAGE)

    def test_rims(self):
        for rim in ("", "00", "zz" * 32, "00" * 33):
            self.wrong("RIM", "-m", rim)

    def test_hash_json(self):
        self.wrong("missing.json", "-f", "missing.json")
        (self.folder / "bad.json").write_text('{"grub": 1')
        self.wrong("bad.json", "-f", "bad.json")
        (self.folder / "bad.json").write_text("{}")
        self.wrong("bad.json", "-f", "bad.json")

    def test_keys(self):
        self.wrong("missing.bin", "-k", "missing.bin")
        (self.folder / "short.bin").write_bytes(bytes(31))
        (self.folder / "short.bin").chmod(0o600)
        self.wrong("expected a key of 32 bytes, found 31", "-k", "short.bin")
        (self.folder / "k/rootfs_key.bin").chmod(0o644)
        self.assertIn("chmod 600", self.wrong("mode 644").stderr)

    def test_folders(self):
        self.wrong("nowhere/", "-d", "nowhere")
        (self.folder / "k/broker.crt").unlink()
        self.wrong("k/broker.crt")

    def test_no_trust_anchors(self):
        (self.folder / "k/trust/roots.sha256").write_text("# none\n")
        result = self.wrong("no root is pinned")
        self.assertIn("hint: ", result.stderr)


if __name__ == "__main__":
    unittest.main()
