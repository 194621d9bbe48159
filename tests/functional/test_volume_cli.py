"""The commands by which a broker is administered: encroot volume, request, vault, audit --broker, and
image encrypt --vault.

VolumeCommands needs nothing but an address, and runs against a fake broker and a real one."""

import base64
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

from broker import until
from broker_admin import ADMIN_ALONE
from fake_broker import FakeBroker, Refusal
from program import (BAD_INPUT, ENCROOT, FAILED, OK, REFUSED, UNREACHABLE, USAGE, CommandTest)
from test_image import ImageTest
from test_unlock import VOLUME, Guest, UnlockTest

FORGE = ENCROOT.parent / "tests" / "functional" / "forge-evidence"
UUID = VOLUME
OTHER = "91ff6f1b-bd8d-854b-9895-3c702895c1f8"
SECRET = bytes(range(100, 132))
RIM = "ab" * 32
# What encodes SECRET, in whatever case.
FORMS = [SECRET.hex(), base64.b64encode(SECRET).decode()]


class BrokerTest(CommandTest):
    """A broker, and the files of a volume for it: key, policy, reference values."""

    def start(self):
        """The address of a broker without volumes."""
        self.broker = FakeBroker(self.folder / "admin.sock")
        self.addCleanup(self.broker.stop)
        return self.broker.address

    def setUp(self):
        super().setUp()
        self.address = self.start()
        self.prepare()

    def unseal(self):
        for v in self.broker.volumes.values():
            v["sealed"] = False

    def prepare(self):
        subprocess.run([FORGE, self.folder], check=True, capture_output=True)
        key = self.folder / "key.bin"
        key.write_bytes(SECRET)
        key.chmod(0o600)
        self.encroot("policy", "new", "-f", "hash.json", "-e", "evidence.json", "-o", "p.json")

    def run_at(self, *command, at=None, **kwargs):
        result = self.encroot(*command, "--broker", at or self.address, **kwargs)
        for form in FORMS:
            self.assertNotIn(form, result.stdout + result.stderr)
        return result

    def json_of(self, *command, **kwargs):
        return json.loads(self.run_at(*command, "--json", **kwargs).stdout)

    def volume(self, *command, **kwargs):
        return self.run_at("volume", *command, **kwargs)

    def add(self, *options, uuid=UUID, **kwargs):
        return self.volume("add", "--uuid", uuid, "-k", "key.bin", "-p", "p.json", *options, **kwargs)

    def read(self, name):
        return json.loads((self.folder / name).read_text())


class VolumeCommands(BrokerTest):
    def test_add_list_show(self):
        self.assertIn("no volumes", self.volume("list").stdout)
        result = self.add("--name", "web-1", "-f", "hash.json", "--label", "first boot")
        self.assertIn(f"web-1 ({UUID}): registered at {self.address}", result.stdout)
        self.add("--name", "a-much-longer-name", uuid=OTHER)
        lines = self.volume("list").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["NAME", "a-much-longer-name", "web-1"])
        self.assertEqual({line.index(x) for line, x in zip(lines, ("UUID", OTHER, UUID))},
                         {lines[0].index("UUID")})
        self.assertEqual([v["uuid"] for v in self.json_of("volume", "list")["volumes"]],
                         [OTHER, UUID])
        shown = self.volume("show", "web-1").stdout
        for text in (UUID, "enabled", "auto", "first boot", "valid", "no limit"):
            self.assertIn(text, shown)
        self.assertEqual(self.json_of("volume", "show", UUID)["name"], "web-1")

    def test_times_are_local(self):
        self.add("--name", "web-1", "--not-after", "2030-01-31T12:00:00Z")
        os.environ["TZ"] = "CET-1"
        self.addCleanup(os.environ.pop, "TZ")
        self.assertIn("2030-01-31 13:00:00+01:00", self.volume("show", "web-1").stdout)
        self.volume("set", "web-1", "--not-before", "2029-07-01T08:30")
        self.assertEqual(self.json_of("volume", "show", "web-1")["not_before"],
                         "2029-07-01T07:30:00Z")

    def test_what_is_there_is_not_added_again(self):
        self.add("--name", "web-1")
        self.assertIn(UUID, self.add(status=FAILED).stderr)
        self.assertIn("web-1", self.add("--name", "web-1", uuid=OTHER, status=FAILED).stderr)
        self.assertEqual(len(self.json_of("volume", "list")["volumes"]), 1)

    def test_unknown_volumes(self):
        for command in (["show"], ["policy"], ["enable"], ["disable"], ["export"], ["values"],
                        ["remove", "--yes"], ["seal", "--yes"], ["set", "--name", "x"], ["policy", "--set", "p.json"],
                        ["values", "--retire", "1"], ["values", "--add", "hash.json"]):
            with self.subTest(command=command):
                result = self.volume(*command, "no such/volume?#%", status=BAD_INPUT)
                self.assertTrue(result.stderr.startswith(f"encroot: {self.address}: "))

    def test_enable_disable(self):
        self.add("--name", "web-1")
        self.assertIn("disabled", self.volume("disable", "web-1").stdout)
        self.assertIs(self.json_of("volume", "show", "web-1")["enabled"], False)
        self.assertIs(self.json_of("volume", "enable", UUID)["enabled"], True)

    def test_set(self):
        self.add("--name", "web-1")
        self.volume("set", "web-1", "--name", "web-2", "--approval", "manual", "--rate", "3/2h",
                    "--not-before", "2026-12-01T00:00:00Z", "--not-after", "2026-12-31T00:00:00+02:00")
        v = self.json_of("volume", "show", "web-2")
        self.assertEqual((v["approval"], v["rate"], v["not_before"], v["not_after"]),
                         ("manual", {"count": 3, "seconds": 7200}, "2026-12-01T00:00:00Z",
                          "2026-12-30T22:00:00Z"))
        self.assertIn("3/2h", self.volume("list").stdout)
        v = self.json_of("volume", "set", "web-2", "--rate", "none")
        self.assertEqual((v["rate"], v["not_before"]), (None, "2026-12-01T00:00:00Z"))
        v = self.json_of("volume", "set", "web-2", "--no-limit", "--rate", "5/d")
        self.assertEqual((v["rate"], v["not_before"], v["not_after"]),
                         ({"count": 5, "seconds": 86400}, None, None))
        before = time.time()
        v = self.json_of("volume", "set", "web-2", "--not-after", "+90m")
        then = time.strptime(v["not_after"], "%Y-%m-%dT%H:%M:%SZ")
        self.assertLess(abs(__import__("calendar").timegm(then) - before - 5400), 600)

    def test_set_refuses_nonsense_before_anything_is_sent(self):
        for options in ([], ["--rate", "3"], ["--rate", "3/"], ["--rate", "0/1h"], ["--rate", "3/0s"],
                        ["--rate", "3/1y"], ["--rate", "-1/1h"], ["--rate", "9/99999999999d"],
                        ["--approval", "maybe"], ["--name", "a b"], ["--name", ""],
                        ["--name", "x" * 65], ["--not-before", "yesterday"],
                        ["--not-before", "2026-02-30"], ["--not-after", "2026-01-01T25:00"],
                        ["--not-after", "2026-01-01T10:00+99:00"], ["--not-after", "+"]):
            with self.subTest(options=options):
                self.volume("set", "web-1", *options, status=USAGE)

    def test_policy(self):
        self.add("--name", "web-1", "-f", "hash.json")
        policy = json.loads(self.volume("policy", "web-1").stdout)
        self.assertEqual(policy, self.read("p.json"))
        self.volume("policy", "web-1", "--effective", "-o", "effective.json")
        self.assertEqual(len(self.read("effective.json")["boot"]), len(policy["boot"]) + 1)
        self.encroot("policy", "check", "effective.json")
        self.volume("policy", "web-1", "-o", "effective.json", status=BAD_INPUT)
        self.volume("policy", "web-1", "-o", "effective.json", "--force")
        policy["waive"].remove("shim-mok")
        (self.folder / "new.json").write_text(json.dumps(policy))
        self.assertIn("revision 2", self.volume("policy", "web-1", "--set", "new.json",
                                                "--revision", 1).stdout)
        self.assertIn("revision", self.volume("policy", "web-1", "--set", "p.json", "--revision", 1,
                                              status=FAILED).stderr)
        self.assertEqual(json.loads(self.volume("policy", "web-1").stdout), policy)
        self.volume("policy", "web-1", "--set", "p.json", "-o", "x", status=USAGE)

    def test_a_policy_is_sent_with_the_files_that_it_names(self):
        policy = self.read("p.json")
        whole = json.loads(json.dumps(policy))
        folder = self.folder / "sub"
        folder.mkdir()
        names = []
        for n, text in enumerate(policy["trust"]["certificates"]):
            name = f"{n}.pem"
            if n == 0:  # DER
                (folder / name).write_bytes(ssl.PEM_cert_to_DER_cert(text))
            else:
                (folder / name).write_text("Some words about it\n" + text)
            names.append(name if n % 2 else str(folder / name))
        policy["trust"]["certificates"] = names
        (folder / "boot.json").write_text(json.dumps(policy["boot"][0]))
        policy["boot"] = ["boot.json"]
        (folder / "p.json").write_text(json.dumps(policy))
        self.volume("add", "--uuid", UUID, "-k", "key.bin", "-p", "sub/p.json")
        kept = json.loads(self.volume("policy", UUID).stdout)
        self.assertEqual(kept["boot"], whole["boot"])
        der = [ssl.PEM_cert_to_DER_cert(c.strip()) for c in kept["trust"]["certificates"]]
        self.assertEqual(der, [ssl.PEM_cert_to_DER_cert(c.strip())
                               for c in whole["trust"]["certificates"]])
        (folder / "boot.json").unlink()
        result = self.volume("add", "--uuid", OTHER, "-k", "key.bin", "-p", "sub/p.json",
                             status=BAD_INPUT)
        self.assertIn("sub/boot.json", result.stderr)

    def test_bad_policies_and_keys_are_not_sent(self):
        policy = self.read("p.json")
        defects = {"unknown member": {**policy, "more": 1}, "is for volume": {**policy, "volume": OTHER},
                   "\"version\"": {**policy, "version": 2}}
        for text, changed in defects.items():
            (self.folder / "bad.json").write_text(json.dumps(changed))
            result = self.volume("add", "--uuid", UUID, "-k", "key.bin", "-p", "bad.json",
                                 status=BAD_INPUT)
            self.assertIn(text, result.stderr)
        self.add("-f", "p.json", status=BAD_INPUT)
        (self.folder / "key.bin").chmod(0o644)
        self.assertIn("key.bin", self.add(status=BAD_INPUT).stderr)
        self.add("-f", "hash.json", uuid="not-a-uuid", status=USAGE)
        self.volume("add", "--uuid", UUID, status=USAGE)
        self.assertEqual(self.json_of("volume", "list")["volumes"], [])

    def test_values(self):
        self.add("--name", "web-1")
        self.assertEqual(self.json_of("volume", "values", "web-1")["values"], [])
        self.assertIn("version 1", self.volume("values", "web-1", "--add", "hash.json", "--label",
                                               "the first").stdout)
        self.assertEqual(self.json_of("volume", "values", "web-1", "--add", "hash.json"),
                         {"version": 2})
        # p.json has the same set, and so has version 2.
        self.assertIn("still accepted", self.volume("values", "web-1", "--retire", 1).stdout)
        self.assertEqual([(v["version"], v["valid"], v["label"])
                          for v in self.json_of("volume", "values", "web-1")["values"]],
                         [(1, False, "the first"), (2, True, "hash.json")])
        self.assertIn("1 of 2", self.volume("list").stdout)
        self.assertIn("retired", self.volume("values", "web-1").stdout)
        self.volume("values", "web-1", "--restore", 1)
        self.assertIn("2 of 2", self.volume("list").stdout)
        self.assertEqual(json.loads(self.volume("values", "web-1", "--show", 1).stdout),
                         self.read("hash.json"))
        (self.folder / "other.json").write_text(json.dumps({**self.read("hash.json"),
                                                            "grub.cfg": "ab" * 32}))
        self.volume("values", "web-1", "--add", "other.json")
        self.assertTrue(self.json_of("volume", "values", "web-1", "--retire", 2)["accepted"])
        self.assertFalse(self.json_of("volume", "values", "web-1", "--retire", 3)["accepted"])
        self.volume("values", "web-1", "--restore", 3)
        self.assertIn("is refused", self.volume("values", "web-1", "--retire", 3).stdout)
        self.volume("values", "web-1", "--show", 4, status=BAD_INPUT)
        self.volume("values", "web-1", "--show", 1, "--retire", 1, status=USAGE)
        self.volume("values", "web-1", "--label", "x", status=USAGE)

    def test_export_and_import(self):
        self.add("--name", "web-1", "-f", "hash.json", "--rate", "3/1h")
        self.volume("export", "web-1", "-o", "plain.json")
        self.volume("export", "web-1", "-o", "whole.json", "--with-secret", umask=0)
        self.assertNotIn("secret", self.read("plain.json"))
        self.assertEqual(base64.b64decode(self.read("whole.json")["secret"]), SECRET)
        self.assertEqual((self.folder / "whole.json").stat().st_mode & 0o777, 0o600)
        before = (self.folder / "whole.json").read_bytes()
        self.volume("export", "web-1", "-o", "whole.json", status=BAD_INPUT)
        self.assertEqual((self.folder / "whole.json").read_bytes(), before)
        self.assertIn("there is a volume", self.volume("import", "whole.json", status=FAILED).stderr)

        self.volume("remove", "web-1", "--yes")
        self.volume("import", "whole.json")
        shown = self.json_of("volume", "show", "web-1")
        self.assertEqual((shown["rate"], len(shown["values"])), ({"count": 3, "seconds": 3600}, 1))
        self.volume("remove", "web-1", "--yes")
        self.assertIn("-k", self.volume("import", "plain.json", status=BAD_INPUT).stderr)
        self.volume("import", "whole.json", "-k", "key.bin", status=BAD_INPUT)
        self.volume("import", "plain.json", "-k", "key.bin", "--name", "again")
        self.volume("export", "again", "-o", "again.json", "--with-secret")
        self.assertEqual(self.read("again.json")["secret"], self.read("whole.json")["secret"])

    def test_import_refuses_other_files(self):
        self.add()
        self.volume("export", UUID, "-o", "whole.json", "--with-secret")
        whole = self.read("whole.json")
        self.volume("remove", UUID, "--yes")
        for changed in ({**whole, "version": 2}, {**whole, "secret": "AAAA"}, {**whole, "secret": 1},
                        {**whole, "uuid": "x"}, {**whole, "policy": "p.json"}, [whole], {}):
            path = self.folder / "bad.json"
            path.unlink(missing_ok=True)
            path.touch(0o600)
            path.write_text(json.dumps(changed))
            result = self.volume("import", "bad.json", status=BAD_INPUT)
            self.assertIn("bad.json", result.stderr)
        (self.folder / "whole.json").chmod(0o640)
        self.assertIn("chmod 600", self.volume("import", "whole.json", status=BAD_INPUT).stderr)

    def test_remove_asks_first(self):
        self.add("--name", "web-1")
        self.assertIn("--yes", self.volume("remove", "web-1", status=USAGE).stderr)
        self.assertEqual(len(self.json_of("volume", "list")["volumes"]), 1)
        self.assertEqual(self.json_of("volume", "remove", "web-1", "--yes"),
                         {"removed": UUID, "name": "web-1"})
        self.assertEqual(self.json_of("volume", "list")["volumes"], [])

    def test_seal_asks_first(self):
        self.add("--name", "web-1")
        self.assertIn("is sealed", self.volume("seal", "web-1", status=USAGE).stderr)
        self.assertIs(self.json_of("volume", "seal", "web-1", "--yes")["sealed"], True)
        self.assertIn(f"web-1 ({UUID}): sealed", self.volume("seal", "web-1", "--yes").stdout)

    def test_unsealed(self):
        self.add("--name", "web-1", "-f", "hash.json")
        self.unseal()
        self.assertIn("unsealed", self.volume("list").stdout)
        self.assertRegex(self.volume("show", "web-1").stdout, r"enabled, but unsealed.*volume seal")
        for command in ["policy"], ["policy", "--effective"], ["values", "--show", "1"]:
            result = self.volume(*command, "web-1")
            self.assertIn("web-1 is unsealed", result.stderr)
            json.loads(result.stdout)
        result = self.volume("policy", "web-1", "-o", "taken.json", status=REFUSED)
        self.assertIn("nothing is written", result.stderr)
        self.assertFalse((self.folder / "taken.json").exists())
        self.assertIn("--yes takes it over", self.volume("seal", "web-1", status=USAGE).stderr)
        self.volume("seal", "web-1", "--yes")
        self.assertEqual(self.volume("policy", "web-1", "-o", "taken.json").stderr, "")

    def test_rewrap(self):
        self.add()
        self.assertEqual(self.json_of("vault", "rewrap")["failed"], 0)

    def test_the_address_comes_from_the_environment(self):
        os.environ["ENCROOT_BROKER"] = self.address
        self.addCleanup(os.environ.pop, "ENCROOT_BROKER")
        self.assertIn("no volumes", self.encroot("volume", "list").stdout)
        self.assertIn("no volumes", self.encroot("volume", "list", "--broker").stdout)
        self.assertIn("no volumes", self.encroot("volume", "list", f"--broker={self.address}").stdout)


class RealAdministration(VolumeCommands):
    """The same commands, to the administration process of encrootd with a real store."""

    def start(self):
        place = self.folder / "broker"
        place.mkdir(mode=0o755)
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen([ADMIN_ALONE, "serve", place], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=log, text=True)

        def stop():
            process.stdin.close()
            process.stdout.close()
            process.wait(timeout=60)
        self.addCleanup(stop)
        self.assertTrue(process.stdout.readline(), (self.folder / "log").read_text())
        self.database = place / "broker.db"
        return f"unix:{place}/admin.sock"

    def unseal(self):
        subprocess.run(["sqlite3", "-cmd", ".timeout 60000", self.database,
                        "UPDATE volume SET rate_count = 1, rate_seconds = 60"], check=True)


class Fake(BrokerTest):
    """What cannot be asked of the real one."""

    def test_every_request_is_marked(self):
        self.add("--name", "web-1")
        self.volume("list")
        for method, path, headers, body in self.broker.asked:
            self.assertEqual(headers["X-Encroot-Admin"], "1")
            self.assertEqual(headers["Content-Type"], "application/json")
        (sent,) = [json.loads(body) for method, _, _, body in self.broker.asked if method == "POST"]
        self.assertEqual(base64.b64decode(sent["secret"]), SECRET)

    def test_lists_come_in_pages(self):
        self.broker.page = 2
        self.add()
        one = self.broker.volumes.pop(UUID)
        for n in range(7):
            uuid = f"{n:08x}{UUID[8:]}"
            self.broker.volumes[uuid] = {**one, "uuid": uuid, "name": f"v{n}"}
        names = [v["name"] for v in self.json_of("volume", "list")["volumes"]]
        self.assertEqual(names, [f"v{n}" for n in range(7)])

    def test_a_reader_may_read(self):
        self.add("--name", "web-1")
        self.broker.role = "reader"
        self.volume("show", "web-1")
        self.volume("export", "web-1", "-o", "x.json")
        for command in (["disable", "web-1"], ["remove", "web-1", "--yes"], ["set", "web-1", "--rate", "1/s"],
                        ["export", "web-1", "-o", "y.json", "--with-secret"]):
            result = self.volume(*command, status=REFUSED)
            self.assertIn("needs the role admin", result.stderr)
            self.assertIn("hint: admin-group", result.stderr)
        self.assertFalse((self.folder / "y.json").exists())

    def test_exit_codes(self):
        for status, code in ((400, BAD_INPUT), (403, REFUSED), (404, BAD_INPUT), (409, FAILED),
                             (413, BAD_INPUT), (500, FAILED), (503, UNREACHABLE), (302, FAILED)):
            def refuse(*_):
                raise Refusal(status, "so \x1b[31mit\x9b is", "do\x07 that")
            self.broker.answer = refuse
            result = self.volume("show", "x", status=code)
            self.assertRegex(result.stderr, r"so .+it.+ is\nhint: do.+ that\n")
            self.assert_clean(result)
            answer = self.json_of("volume", "show", "x", status=code)
            self.assertEqual(answer["exit"], code)

    def assert_clean(self, result):
        for text in (result.stdout, result.stderr):
            self.assertEqual(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), [])

    def test_control_characters_do_not_reach_the_terminal(self):
        evil = "w\x1b]0;x\x07\x9b31m\r\nz"
        self.add("--name", "web-1", "-f", "hash.json")
        volume = self.broker.volumes[UUID]
        volume.update(name=evil, approval=evil, created=evil, changed=evil)
        volume["values"][0].update(label=evil, created=evil)
        self.broker.requests["1"] = {"id": evil, "volume": evil, "name": evil, "attester": evil,
                                     "state": "pending", "peer": evil, "created": evil, "seen": evil,
                                     "expires": evil, "count": 1, "decided_by": evil}
        for command in (["volume", "list"], ["volume", "show", UUID], ["volume", "values", UUID],
                        ["volume", "disable", UUID], ["request", "list"],
                        ["request", "approve", "1"], ["volume", "remove", UUID, "--yes"]):
            with self.subTest(command=command):
                result = self.run_at(*command)
                self.assert_clean(result)
                self.assertIn("\\x1b" if command[1] != "approve" else "approved", result.stdout)
                if command[1] in ("list", "show", "values"):  # those of C1 are JSON as they are
                    self.assert_clean(self.run_at(*command, "--json"))
        self.assert_clean(self.volume("show", evil, status=BAD_INPUT))

    def test_answers_of_wrong_types(self):
        self.add("--name", "web-1", "-f", "hash.json")
        good = FakeBroker.view(self.broker.volumes[UUID])
        wrong = [None, 1, [], "x", {}, {**good, "uuid": 5}, {**good, "uuid": "x"},
                 {**good, "name": None}, {**good, "values": {}}, {**good, "enabled": "yes"},
                 {**good, "revision": -1}]
        for answer in wrong:
            self.broker.answer = lambda *_: (200, "application/json", answer)
            for command in (["volume", "show", "x"], ["volume", "disable", "x"],
                            ["volume", "values", "x"], ["volume", "set", "x", "--rate", "1/s"]):
                self.run_at(*command, status=FAILED)
            self.broker.answer = lambda *_: (200, "application/json", {"volumes": [answer]})
            self.volume("list", status=FAILED)
        # Odd, but nothing rests on it.
        for odd in ({**good, "rate": []}, {**good, "rate": {"seconds": "x"}}, {**good, "values": [1]},
                    {**good, "created": 7}, {**good, "more": [[]]}):
            self.broker.answer = lambda *_: (200, "application/json", odd)
            self.volume("show", "x")
        for answer in ([], {}, {"requests": 1}, {"volumes": "x"}, "text", {"done": "x"},
                       {"policy": 1}, {"version": 1}, {"record": 1}, {"audit": {"sequence": "x"}}):
            self.broker.answer = lambda *_: (200, "application/json", answer)
            for command in (["volume", "list"], ["request", "list"], ["vault", "rewrap"],
                            ["volume", "policy", "x"], ["volume", "export", "x"],
                            ["audit", "show", "x"], ["audit", "list"], ["audit", "checkpoint"],
                            ["volume", "values", "x", "--show", 1]):
                self.run_at(*command, status=FAILED)

    def test_more_requests_than_are_shown(self):
        waiting = {"requests": [{"id": "1"}, {"id": "2"}], "more": True}
        self.broker.answer = lambda *_: (200, "application/json", waiting)
        self.assertIn("the newest 2 are shown", self.run_at("request", "list").stderr)
        waiting["more"] = False
        self.assertEqual(self.run_at("request", "list").stderr, "")

    def test_a_page_that_comes_again_and_again(self):
        self.add("--name", "web-1")
        page = {"volumes": [FakeBroker.view(self.broker.volumes[UUID])], "more": True}
        self.broker.answer = lambda *_: (200, "application/json", page)
        self.assertIn("repeats", self.volume("list", status=FAILED, timeout=30).stderr)
        page["volumes"] = []
        self.volume("list", status=FAILED, timeout=30)

    def test_what_is_no_http(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        for raw, code in ((b"", UNREACHABLE), (b"SSH-2.0-OpenSSH\r\n\r\n", FAILED), (b"\0" * 100, FAILED),
                          (b"HTTP/1.1 200 OK\r\n\r\n{}", FAILED),
                          (head + b"Content-Length: 10\r\n\r\n{}", UNREACHABLE),
                          (head + b"Content-Length: -1\r\n\r\n{}", FAILED),
                          (head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", FAILED),
                          (head + b"Content-Length: 99999999999\r\n\r\n{}", FAILED),
                          (head + b"Content-Length: 2\r\n\r\n{x", FAILED),
                          (head.replace(b"application/json", b"text/html") +
                           b"Content-Length: 2\r\n\r\n{}", FAILED),
                          (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\n\xff\0<p", FAILED),
                          (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}", FAILED),
                          (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 3000, FAILED)):
            with self.subTest(raw=raw[:80]):
                self.broker.misbehaviour = lambda *_: raw
                result = self.volume("list", status=code, timeout=30)
                self.assertIn(self.address, result.stderr)
                self.assert_clean(result)

    def test_huge_answers_are_bounded(self):
        def pour(handler):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                b"Content-Length: 67108864\r\n\r\n")
            for _ in range(64):
                handler.wfile.write(b"[" * (1 << 20))
        self.broker.misbehaviour = lambda *_: pour
        self.volume("list", status=FAILED)

    def test_a_broker_that_hangs(self):
        done = threading.Event()
        self.addCleanup(done.set)

        def trickle(handler):
            while not done.wait(.05):
                handler.wfile.write(b"H")
        for behaviour in (lambda handler: done.wait(60), trickle):
            self.broker.misbehaviour = lambda *_: behaviour
            result = self.volume("list", "--timeout", 1, status=UNREACHABLE, timeout=30)
            self.assertIn("--timeout", result.stderr)

    def test_a_refusal_before_the_request_was_read(self):
        text = b'{"error": "too large"}'

        def refuse(handler):
            handler.wfile.write(b"HTTP/1.1 413 Large\r\nContent-Type: application/json\r\n"
                                b"Content-Length: %d\r\n\r\n" % len(text) + text)
            handler.request.shutdown(socket.SHUT_RD)
        self.broker.misbehaviour = lambda *_: refuse
        policy = self.read("p.json")
        policy["records"] = [f"{n:064x}" for n in range(1000)]
        policy["boot"] *= 40
        (self.folder / "p.json").write_text(json.dumps(policy))
        self.assertIn("too large", self.add(status=BAD_INPUT).stderr)

    def test_an_export_that_lies_about_its_secret(self):
        self.add("--name", "web-1")
        v = {"version": 1, **self.broker.volumes[UUID]}
        self.broker.answer = lambda *_: (200, "application/json", v)
        self.volume("export", "web-1", "-o", "x.json", status=FAILED)
        del v["secret"]
        self.volume("export", "web-1", "-o", "x.json", "--with-secret", status=FAILED)
        self.assertFalse((self.folder / "x.json").exists())

    def test_rewrap_that_fails_in_part(self):
        self.broker.looks = [{"failed": 2, "state": "finished"}]
        self.assertIn("keep the old keys", self.run_at("vault", "rewrap", status=FAILED).stderr)

    def test_rewrap_on_a_terminal(self):
        self.broker.looks = [{"total": 40, "done": 10}, {"done": 20, "already": 9, "failed": 1},
                             {"done": 31, "already": 9, "failed": 0, "state": "finished"}]
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        result = subprocess.run([ENCROOT, "vault", "rewrap", "--broker", self.address],
                                stdout=subprocess.PIPE, stderr=theirs, timeout=60, text=True)
        os.close(theirs)
        drawn = os.read(ours, 1 << 16).decode()
        self.assertEqual((result.returncode, result.stdout),
                         (OK, "rewrapped 31, under the newest key already 9, failed 0\n"), drawn)
        lines = [line.strip() for line in drawn.split("\r")]
        self.assertEqual([line.partition(", ")[0] for line in lines if line.startswith("rewrap")],
                         ["rewrapping:  25 % of 40 volumes", "rewrapping:  75 % of 40 volumes"])
        self.assertEqual(lines[-1], "\x1b[K")  # it is gone

    def test_rewrap_joins_one_that_runs(self):
        self.broker.begin_rewrap("bob (uid 1001)")
        self.broker.looks = [{}, {}, {"done": 3, "state": "finished"}]
        result = self.run_at("vault", "rewrap")
        self.assertIn("bob (uid 1001) began this at 20", result.stderr)
        self.assertIn("rewrapped 3,", result.stdout)
        self.assertEqual([method for method, *_ in self.broker.asked], ["POST"] + 3 * ["GET"])

    def test_rewrap_that_does_not_finish(self):
        for looks, text in (
                ([{"done": 1}, {"state": "stopped", "error": "the store is away", "hint": "bring it"}],
                 "not finished (done 1, already 0, failed 0): the store is away\n"
                 "hint: bring it; then begin again with `encroot vault rewrap`"),
                ([{}, {"state": "idle", "id": None}], "reloaded or restarted meanwhile\n"
                                                      "hint: `encroot vault rewrap` watches it"),
                ([{"state": "finished", "id": "f" * 32}], "reloaded or restarted meanwhile\n"),
                ([{"done": -1}], '"done"'), ([{"total": "x"}], '"total"')):
            self.broker.task = {"state": "idle", "id": None}
            self.broker.looks = list(looks)
            self.assertIn(text, self.run_at("vault", "rewrap", status=FAILED).stderr)
        self.broker.task = {"state": "idle", "id": None}
        self.broker.looks = [{"state": "stopped", "error": "the store is away"}]
        told = self.json_of("vault", "rewrap", status=FAILED)
        self.assertEqual((told["exit"], told["error"][:12]), (FAILED, "not finished"))

    def test_rewrap_of_a_broker_that_goes_away(self):
        self.broker.misbehaviour = lambda method, path: b"" if method == "GET" else None
        said = self.run_at("vault", "rewrap", status=UNREACHABLE).stderr
        self.assertIn("what is done is passed over", said)

    def test_rewrap_goes_on_without_its_watcher(self):
        self.broker.looks = []
        for number in (signal.SIGINT, signal.SIGTERM):
            self.broker.asked.clear()
            process = subprocess.Popen([ENCROOT, "vault", "rewrap", "--broker", self.address],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            until("it watches", lambda: len(self.broker.asked) > 3)
            process.send_signal(number)
            said = process.communicate(timeout=60)[1]
            self.assertEqual(process.returncode, FAILED)
            self.assertIn("interrupted: the broker goes on", said)
            self.assertEqual({(m, p) for m, p, *_ in self.broker.asked[1:]},
                             {("GET", "/v1/vault/rewrap")})
            self.assertEqual(self.broker.task["state"], "running")

    def test_requests(self):
        self.assertIn("nobody waits", self.run_at("request", "list").stdout)
        for n in range(2):
            ident = f"{n:032x}"
            self.broker.requests[ident] = {
                "id": ident, "volume": UUID, "name": "web-1", "attester": f"{n:x}" * 64,
                "state": "pending", "peer": "10.0.0.7 port 4711", "created": "2026-01-02T03:04:05Z",
                "seen": "2026-01-02T03:05:05Z", "expires": "2026-01-02T03:14:05Z", "count": 3,
                "decided_by": ""}
        listed = self.run_at("request", "list").stdout
        for text in (ident, "web-1", "1" * 64, "10.0.0.7 port 4711", "2026-01-02 03:04:05"):
            self.assertIn(text, listed)
        self.assertIn("approved", self.run_at("request", "approve", ident).stdout)
        self.assertIn("already", self.run_at("request", "deny", ident, status=FAILED).stderr)
        self.assertEqual(self.json_of("request", "deny", "0" * 32)["state"], "denied")
        self.assertEqual(self.json_of("request", "list")["requests"], [])
        self.assertEqual(len(self.json_of("request", "list", "--all")["requests"]), 2)
        result = self.run_at("request", "approve", "../volumes", status=BAD_INPUT)
        self.assertIn("request list", result.stderr)
        self.run_at("request", "approve", status=USAGE)


class Reaching(CommandTest):
    def test_nobody_there(self):
        (self.folder / "stale.sock").touch()
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(self.folder / "dead.sock"))
        for name in ("none.sock", "dead.sock"):
            address = f"unix:{self.folder}/{name}"
            result = self.encroot("volume", "list", "--broker", address, status=UNREACHABLE)
            self.assertEqual(result.stderr.splitlines()[0],
                             f"encroot: {address}: nothing listens there")
            self.assertIn("systemctl status encrootd", result.stderr)
        result = self.encroot("volume", "list", "--broker", f"unix:{self.folder}/none.sock", "--json",
                              status=UNREACHABLE)
        self.assertEqual(json.loads(result.stdout)["exit"], UNREACHABLE)

    @unittest.skipIf(os.getuid() != 0, "needs another user")
    def test_not_allowed(self):
        self.folder.chmod(0o755)
        broker = FakeBroker(self.folder / "admin.sock")
        self.addCleanup(broker.stop)
        os.chown(self.folder / "admin.sock", 0, 12)  # man
        (self.folder / "admin.sock").chmod(0o660)
        if subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ENCROOT,
                           "--version"], capture_output=True).returncode != 0:
            self.skipTest("another user cannot run the program here")
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ENCROOT,
                               "volume", "list", "--broker", broker.address], text=True,
                              capture_output=True)
        self.assertEqual(done.returncode, REFUSED)
        self.assertIn("permission denied", done.stderr)
        self.assertIn("the group man may", done.stderr)

    def test_addresses(self):
        for address in ("/run/admin.sock", "unix:", "unix:" + "x" * 108, "https://host", "https://:1",
                        "https://host:0", "https://host:65536", "https://[::1]", "https://[::1]7",
                        "https://host:1/x", "http://host:1", "https://u@host:1", "https://h:1:2",
                        "x" * 1000):
            result = self.encroot("volume", "list", f"--broker={address}", status=USAGE)
            self.assertIn("unix:PATH or https://HOST:PORT", result.stderr)
        for word in ("broker.example.org:7223", "/run/encrootd/admin.sock"):
            self.assertIn("expected unix:PATH or https://HOST:PORT",
                          self.encroot("volume", "list", "--broker", word, status=USAGE).stderr)
        result = self.encroot("volume", "list", "--broker", "https://localhost:1", status=USAGE)
        self.assertIn("--client-key", result.stderr)


class MutualTls(BrokerTest):
    def start(self):
        for name in ("server", "client", "stranger"):
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                         "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj",
                         f"/CN={name}", "-days", "30")
        der = subprocess.run("openssl x509 -in server.pem -noout -pubkey | openssl pkey -pubin "
                             "-outform DER", shell=True, check=True, capture_output=True,
                             cwd=self.folder).stdout
        self.pin = "sha256:" + hashlib.sha256(der).hexdigest()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.load_verify_locations(self.folder / "client.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.broker = FakeBroker(tls=context)
        self.addCleanup(self.broker.stop)
        return self.broker.address

    def at(self, *command, who="client", pin=None, **kwargs):
        return self.run_at(*command, "--client-key", f"{who}.key", "--client-certificate",
                           f"{who}.pem", "--pin", pin or self.pin, **kwargs)

    def test_each_side_knows_the_other(self):
        self.at("volume", "add", "--uuid", UUID, "-k", "key.bin", "-p", "p.json", "--name", "web-1")
        self.assertIn("web-1", self.at("volume", "list").stdout)
        self.assertIn("web-1", self.at("volume", "list", pin=self.pin[7:].upper()).stdout)

    def test_another_server(self):
        result = self.at("volume", "list", pin="sha256:" + "0" * 64, status=REFUSED)
        self.assertIn("not one that is pinned", result.stderr)
        self.assertEqual(self.broker.asked, [])
        for pin in ("sha256:00", "md5:" + "0" * 64, "0" * 63):
            self.at("volume", "list", pin=pin, status=USAGE)

    def test_another_client(self):
        result = self.at("volume", "list", who="stranger", status=REFUSED)
        self.assertIn("does not accept our certificate", result.stderr)
        self.assertIn("admin-client", result.stderr)
        self.assertEqual(self.broker.asked, [])

    def test_nobody_there(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            result = self.at("volume", "list", at=f"https://127.0.0.1:{s.getsockname()[1]}",
                             status=UNREACHABLE)
        self.assertIn("Connection refused", result.stderr)

    def test_old_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        broker = FakeBroker(tls=context)
        self.addCleanup(broker.stop)
        self.at("volume", "list", at=broker.address, status=FAILED)
        self.assertEqual(broker.asked, [])


class Audit(UnlockTest):
    """Records and evidence of real decisions of `encroot unlock`, served by a broker."""

    def setUp(self):
        super().setUp()
        self.broker = FakeBroker(self.folder / "admin.sock")
        self.addCleanup(self.broker.stop)
        self.ids = []
        self.decide(OK)
        self.decide(REFUSED, "--defect", "changed-kernel")
        self.decide(OK)
        self.broker.records = (self.folder / "k/audit.log").read_bytes().splitlines()
        self.broker.page = 2

    def decide(self, status, *defect):
        guest = Guest(self, *defect)
        name = f"evidence-{len(self.ids)}.json"
        self.unlock(guest, "--save-evidence", name, status=status)
        ident = self.log()[-1]["id"]
        self.broker.evidence[ident] = json.loads((self.folder / name).read_text())
        self.ids.append(ident)
        self.rim = guest.rim

    def audit(self, *command, **kwargs):
        return self.encroot("audit", *command, "--broker", self.broker.address, **kwargs)

    def add_volume(self):
        key = base64.b64encode(SECRET).decode()
        self.encroot("policy", "new", "-f", "k/hash.json", "-m", self.rim, "-d", "k", "-o", "p.json")
        self.broker.do_add({}, {"uuid": VOLUME, "secret": key,
                                "policy": json.loads((self.folder / "p.json").read_text())})

    def test_the_same_as_of_the_file(self):
        here = ["-d", "k"]
        for command in (["list"], ["list", "--json"], ["list", "--denied"], ["verify"],
                        ["verify", "--json"], ["export"], ["list", "--volume", VOLUME]):
            with self.subTest(command=command):
                self.assertEqual(self.audit(*command).stdout,
                                 self.encroot("audit", *command, *here).stdout)
        self.audit("export", "-o", "export.json")
        self.assertEqual(json.loads((self.folder / "export.json").read_text()), self.log())

    def test_no_records(self):
        self.broker.records = []
        self.assertEqual(self.audit("list").stdout, "")
        self.assertEqual(self.audit("list", "--last", 3).stdout, "")
        self.assertIn("intact: 0 records", self.audit("verify").stdout)

    def test_last(self):
        lines = self.audit("list").stdout.splitlines()
        for n in (1, 2, 3, 4):
            self.assertEqual(self.audit("list", "--last", n).stdout.splitlines(), lines[-n:])
        self.encroot("audit", "list", "-d", "k", "--last", 1, status=USAGE)
        self.audit("list", "-d", "k", status=USAGE)

    def assert_broken(self, text):
        for command in (["verify"], ["list"], ["export"]):
            result = self.audit(*command, status=REFUSED, timeout=30)
            self.assertIn(text, result.stderr)
        self.assertEqual(self.audit("export", status=REFUSED).stdout, "")

    def test_what_was_changed_is_found(self):
        good = list(self.broker.records)
        self.broker.records[1] = good[1].replace(b"127.0.0.1", b"127.0.0.2")
        self.assert_broken("line 2")
        self.broker.records = [good[0], good[2], good[1]]
        self.assert_broken("line 2")
        self.broker.records = [good[0], good[1], b"garbage"]
        self.assert_broken("line 3")
        self.broker.records = good[1:]
        self.assert_broken("line 1")

    def test_a_column_that_was_changed_is_found(self):
        """The records are sound: what the store counts and finds them by is not."""
        said = [json.loads(record) for record in self.broker.records]
        for n, column, value, texts in (
                (0, "granted", 0, ("expected 1, found 0",)),
                (1, "granted", -7, ("expected 0, found -7",)),
                (1, "time", -(1 << 63), (f"found {-(1 << 63)}",)),
                (2, "time", 1 << 40, (f"found {1 << 40}",)),
                (2, "id", "\u2028" * 99, (f'expected "{said[2]["id"]}", found "', "\\u2028")),
                (0, "volume", None, (f'expected "{VOLUME}", found null',)),
                (1, "hash", "0" * 64, (f'expected "{said[1]["hash"]}", found "0000',)),
                (1, "sequence", 3, ("expected 2, found 3",))):
            with self.subTest(column=column, value=value):
                self.broker.edited = {n: {column: value}}
                self.assert_broken(f'record {n + 1}: the column "{column}"')
                result = self.audit("verify", "--json", status=REFUSED)
                report = json.loads(result.stdout)
                self.assertEqual((report["intact"], report["line"], report["records"]),
                                 (False, n + 1, n))
                for text in texts:
                    self.assertIn(text, report["error"])
        self.broker.edited = {}
        self.assertIn("intact: 3 records", self.audit("verify").stdout)

    def test_columns_that_are_none(self):
        for columns in b"{}", b"[]", b"null", b"garbage", b"", b'{"granted": 1, "granted": 1}':
            with self.subTest(columns):
                self.broker.columns = lambda n, c=columns: c
                self.assert_broken("line 1")

    def test_what_was_cut_off_is_found(self):
        """By who remembers the head; and a broker that says one thing and gives another."""
        good = list(self.broker.records)
        head = json.loads(good[2])["hash"]
        self.assertIn("intact", self.audit("verify", "--head", head).stdout)
        self.broker.records = good[:2]
        self.assertIn("cut off", self.audit("verify", "--head", head, status=REFUSED).stderr)
        status = self.broker.do_status
        self.broker.do_status = lambda query, data: {
            **status(query, data), "audit": {"sequence": 3, "hash": head}}
        self.assert_broken("has 3 records by its own account, but the last that it gives is 2")

    def test_pages_that_never_end(self):
        self.broker.do_status = lambda query, data: {"audit": {"sequence": 1 << 40, "hash": "0" * 64}}
        self.broker.do_audit = lambda query, data: (200, "application/x-ndjson",
                                                    self.broker.columns(0) + b"\n" +
                                                    self.broker.records[0] + b"\n")
        for command in ("verify", "list"):
            result = self.audit(command, status=REFUSED, timeout=30)
            self.assertIn("expected record 2, found record 1", result.stderr)
        for end in b"{}", b"{}\n":
            self.broker.do_audit = lambda query, data: (200, "application/x-ndjson", end)
            self.assertIn("a page of the audit", self.audit("verify", status=FAILED).stderr)

    def test_what_comes_later_is_not_waited_for(self):
        status, hash = self.broker.do_status, json.loads(self.broker.records[1])["hash"]
        self.broker.do_status = lambda query, data: {
            **status(query, data), "audit": {"sequence": 2, "hash": hash}}
        self.assertIn("intact: 2 records", self.audit("verify").stdout)

    def test_show_explains_a_refusal_in_full(self):
        self.add_volume()
        shown = self.audit("show", self.ids[1]).stdout
        for text in ("denied", "by the volume's policy of now (revision 1)", "reject  boot.kernel",
                     "expected", "found", "remedy", "verdict: reject"):
            self.assertIn(text, shown)
        self.assertIn("verdict: pass", self.audit("show", self.ids[2]).stdout)
        j = json.loads(self.audit("show", self.ids[1], "--json").stdout)
        self.assertEqual((j["record"]["verdict"], j["appraisal"]["verdict"],
                          j["appraisal"]["revision"]), ("denied", "reject", 1))
        self.assertEqual(j["evidence"], self.broker.evidence[self.ids[1]])

    def test_show_without_evidence_or_volume(self):
        shown = self.audit("show", self.ids[1]).stdout
        self.assertIn("cannot be appraised again", shown)
        self.assertIn("reject boot.kernel", shown)
        self.add_volume()
        self.broker.evidence = {}
        self.assertIn("not kept", self.audit("show", self.ids[1]).stdout)
        self.assertIsNone(json.loads(self.audit("show", self.ids[1], "--json").stdout)["appraisal"])

    def test_show_of_what_was_changed(self):
        self.add_volume()
        self.broker.evidence[self.ids[1]] = self.broker.evidence[self.ids[0]]
        self.assertIn("not the evidence of the record", self.audit("show", self.ids[1]).stdout)
        self.broker.records[1] = self.broker.records[1].replace(b"127.0.0.1", b"127.0.0.2")
        self.audit("show", self.ids[1], status=REFUSED)
        self.broker.do_record = lambda *_, **__: {"record": json.loads(self.broker.records[0])}
        self.assertIn("another record", self.audit("show", self.ids[2], status=FAILED).stderr)

    def test_unknown_id(self):
        self.assertIn("audit list", self.audit("show", "f" * 32, status=BAD_INPUT).stderr)

    def test_checkpoint(self):
        self.audit("checkpoint", status=UNREACHABLE)
        signed = json.loads(self.encroot("audit", "checkpoint", "-d", "k").stdout)
        self.broker.checkpoint = signed
        self.assertEqual(json.loads(self.audit("checkpoint").stdout), signed)
        self.audit("checkpoint", "-o", "c.json")
        self.audit("checkpoint", "-o", "c.json", status=BAD_INPUT)
        kept = ["--checkpoint", "c.json", "--certificate", "k/broker.crt"]
        self.assertIn("intact: 3 records", self.audit("verify", *kept).stdout)
        self.broker.records.pop()
        self.assertIn("its end was cut off", self.audit("verify", *kept, status=REFUSED).stderr)
        for bad in ({**signed, "more": 1}, {**signed, "hash": "x"}, {**signed, "signature": "*"}):
            self.broker.checkpoint = bad
            self.audit("checkpoint", "-o", "d.json", status=FAILED)
        self.assertFalse((self.folder / "d.json").exists())


class Vault(ImageTest):
    """image encrypt --vault."""

    def setUp(self):
        super().setUp()
        self.broker = FakeBroker(self.folder / "admin.sock")
        self.addCleanup(self.broker.stop)

    def vault(self, *options, status=OK, keys=None):
        return self.encrypt(self.small, "out.qcow2", "--vault", self.broker.address, *options,
                            status=status, keys=keys or self.trusted())

    def trusted(self):
        """Keys and trust anchors."""
        keys = self.folder / "k"
        if not keys.exists():
            self.encroot("init", "k")
            subprocess.run([FORGE, self.folder], check=True, capture_output=True)
        return keys

    def files(self):
        return sorted(p.name for p in self.folder.iterdir() if p.name.startswith("out"))

    def test_one_step(self):
        result = self.vault("-m", RIM, "--name", "web-1", "--approval", "manual")
        self.assertIn(f"registered at {self.broker.address} as web-1\n", result.stdout)
        self.assertIn("--broker HOST", result.stdout)  # it does not dial yet
        (volume,) = self.broker.volumes.values()
        self.assertEqual((volume["name"], volume["approval"]), ("web-1", "manual"))
        self.assertEqual(base64.b64decode(volume["secret"]),
                         (self.folder / "k/rootfs_key.bin").read_bytes())
        values = json.loads((self.folder / "out.hash.json").read_text())
        self.assertEqual([v["text"] for v in volume["values"]], [values])
        self.assertEqual(volume["policy"]["rim"], [RIM])
        (self.folder / "p.json").write_text(json.dumps(self.broker.effective(volume)))
        self.encroot("policy", "check", "p.json")
        self.assertIn(volume["uuid"], result.stdout)
        self.assertEqual(self.files(), ["out.hash.json", "out.qcow2"])
        # The same image and key are the same volume: said before the work.
        result = self.vault("-m", RIM, "--force", status=FAILED)
        self.assertIn(volume["uuid"], result.stderr)

    def test_a_key_that_only_the_broker_has(self):
        keys = self.trusted()
        (keys / "rootfs_key.bin").unlink()
        report = json.loads(self.vault("-m", RIM, "--no-key-file", "--broker", "192.0.2.1",
                                       "--json").stdout)
        self.assertEqual(report["vault"]["registered"], True)
        (volume,) = self.broker.volumes.values()
        self.assertFalse((keys / "rootfs_key.bin").exists())
        key = self.folder / "key"
        key.write_bytes(base64.b64decode(volume["secret"]))
        self.assert_opens(self.root_of(self.raw_of("out.qcow2")), key)

    def test_a_policy_file(self):
        self.encroot("policy", "new", "-f", self.reference(), "-m", RIM, "-d", self.folder, "-o",
                     "p.json")
        policy = json.loads((self.folder / "p.json").read_text())
        del policy["boot"]
        for n, text in enumerate(policy["trust"]["certificates"]):
            (self.folder / f"{n}.pem").write_text(text)
        policy["trust"]["certificates"] = [f"{n}.pem" for n in range(n + 1)]
        (self.folder / "p.json").write_text(json.dumps(policy))
        self.vault("--policy", "p.json")
        (volume,) = self.broker.volumes.values()
        self.assertTrue(all(c.startswith("-----BEGIN ")
                            for c in volume["policy"]["trust"]["certificates"]))
        policy["volume"] = OTHER
        (self.folder / "p.json").write_text(json.dumps(policy))
        self.broker.volumes = {}
        (self.folder / "out.qcow2").unlink()
        (self.folder / "out.hash.json").unlink()
        self.assertIn(OTHER, self.vault("--policy", "p.json", status=BAD_INPUT).stderr)
        self.assertEqual(self.files(), [])

    def reference(self):
        """Reference values of some encrypted image."""
        self.trusted()
        return self.folder / "hash.json"

    def test_what_cannot_work_is_said_before_the_work(self):
        self.trusted()
        self.broker.role = "reader"
        self.assertIn("may only read", self.vault("-m", RIM, status=REFUSED).stderr)
        self.broker.role = "admin"
        self.vault("-m", "xyz", status=BAD_INPUT)
        (self.folder / "bad.json").write_text("{}")
        self.vault("--policy", "bad.json", status=BAD_INPUT)
        self.broker.do_add({}, {"uuid": OTHER, "name": "taken", "policy": {"version": 1},
                                "secret": base64.b64encode(SECRET).decode()})
        self.assertIn("taken", self.vault("-m", RIM, "--name", "taken", status=FAILED).stderr)
        result = self.encrypt(self.small, "out.qcow2", "--vault", f"unix:{self.folder}/none", "-m", RIM,
                              status=UNREACHABLE, keys=self.folder / "k")
        self.assertIn("nothing listens there", result.stderr)
        for options in (["--policy", "bad.json", "-m", RIM], [], ["-m", RIM, "--no-key-file", "-k", "x"]):
            self.vault(*options, status=USAGE)
        self.encrypt(self.small, "out.qcow2", "--name", "x", status=USAGE)
        self.assertEqual(self.files(), [])
        self.assertEqual(list(self.broker.volumes), [OTHER])

    def test_a_broker_that_fails_in_between(self):
        def fail(method, path):
            return b"" if method == "POST" else None
        self.broker.misbehaviour = fail
        for options in ([], ["--no-key-file"]):
            with self.subTest(options=options):
                result = self.vault("-m", RIM, *options, status=UNREACHABLE)
                self.assertIn("out.qcow2 is whole, but its volume", result.stderr)
                self.assertEqual(self.files(), ["out.hash.json", "out.qcow2", "out.qcow2.volume.json"])
                rescue = self.folder / "out.qcow2.volume.json"
                self.assertEqual(rescue.stat().st_mode & 0o777, 0o600)
                # Nothing of it is overwritten; the hint is the line to type.
                self.assertIn("volume.json", self.vault("-m", RIM, "--force", status=BAD_INPUT).stderr)
                line = re.search(r"encroot (volume import \S+ --broker \S+) registers", result.stderr)[1]
                self.broker.misbehaviour = lambda *_: None
                self.encroot(*line.split())
                (volume,) = self.broker.volumes.values()
                key = self.folder / "key"
                key.write_bytes(base64.b64decode(volume["secret"]))
                self.assert_opens(self.root_of(self.raw_of("out.qcow2")), key)
                self.broker.volumes, self.broker.misbehaviour = {}, fail
                for name in self.files():
                    (self.folder / name).unlink()

    def test_a_refusal_in_between(self):
        def refuse(*_, **__):
            raise Refusal(400, "this policy is too old")
        self.broker.do_add = refuse
        report = json.loads(self.vault("-m", RIM, "--json", status=BAD_INPUT).stdout)
        self.assertEqual(report["vault"]["registered"], False)
        self.assertIn("too old", report["vault"]["error"])
        self.assertEqual(report["vault"]["import"], "out.qcow2.volume.json")

    def test_an_answer_that_was_lost(self):
        """The broker took it: that is found out, and nothing is left to do."""
        original = self.broker.answer

        def lose(method, target, headers, body):
            result = original(method, target, headers, body)
            return (200, "text/plain", b"") if method == "POST" else result
        self.broker.answer = lose
        self.vault("-m", RIM)
        self.assertEqual(len(self.broker.volumes), 1)
        self.assertEqual(self.files(), ["out.hash.json", "out.qcow2"])


if __name__ == "__main__":
    unittest.main()
