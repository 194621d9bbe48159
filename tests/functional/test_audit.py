"""encroot audit: the records of real decisions of `encroot unlock`, and every way to falsify them."""

import base64
import concurrent.futures
import fcntl
import hashlib
import json
import resource
import shutil
import signal
import subprocess
import threading
from datetime import datetime

from program import BAD_INPUT, ENCROOT, FAILED, OK, REFUSED, USAGE
from test_unlock import VOLUME, Guest, UnlockTest

import unittest

ZEROS = "0" * 64


def digest(record):
    """The hash of a record, by its definition (broker/audit.h)."""
    rest = {key: value for key, value in record.items() if key != "hash"}
    return hashlib.sha256(b"encroot audit v1\0" + canonical(rest)).hexdigest()


def canonical(record):
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class AuditTest(UnlockTest):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "k/audit.log"

    def grant(self, **kwargs):
        guest = Guest(self)
        self.unlock(guest, **kwargs)
        self.assertRegex(guest.said(), r"^secret ")

    def deny(self, defect="changed-kernel"):
        self.unlock(Guest(self, "--defect", defect), status=REFUSED)

    def three(self):
        """A log of three decisions; returns its lines."""
        self.grant()
        self.deny()
        self.grant()
        return self.lines()

    def lines(self):
        return self.path.read_bytes().splitlines(keepends=True)

    def audit(self, command, *arguments, **kwargs):
        return self.encroot("audit", command, "-d", "k", *arguments, **kwargs)

    def verify(self, *arguments, **kwargs):
        return json.loads(self.audit("verify", "--json", *arguments, **kwargs).stdout)

    def head(self):
        return self.log()[-1]["hash"]

    def assert_broken(self, line, text, *, records):
        """verify names the line, list and show say so, export writes nothing."""
        report = self.verify(status=REFUSED)
        self.assertEqual((report["intact"], report["line"], report["records"], report["exit"]),
                         (False, line, records, REFUSED))
        self.assertIn(f"k/audit.log: line {line}: ", report["error"])
        self.assertIn(text, report["error"])
        result = self.audit("verify", status=REFUSED)
        self.assertIn(f"encroot: {report['error']}\n", result.stderr)
        self.assertIn(f"intact up to here: {records} records\n", result.stdout)
        self.assertIn(report["error"], self.audit("list", status=REFUSED).stderr)
        listed = json.loads(self.audit("list", "--json", status=REFUSED).stdout)
        self.assertEqual((listed["intact"], listed["error"]), (False, report["error"]))
        result = self.audit("export", "-o", "export.json", status=REFUSED)
        self.assertIn(report["error"], result.stderr)
        self.assertFalse((self.folder / "export.json").exists())
        self.assertEqual(self.audit("export", status=REFUSED).stdout, "")

    def assert_stopped(self):
        """No guest gets a key, nothing is written; the operator is told why."""
        before = self.contents()
        guest = Guest(self)
        result = self.unlock(guest, status=FAILED)
        self.assertRegex(guest.said(), r'^status 503 \{"code": "unavailable", ')
        self.assertIn("k/audit.log: the chain of records was changed", result.stderr)
        self.assertIn("hint: `encroot audit verify`", result.stderr)
        self.assertNotIn("released", result.stdout)
        self.assertNotIn("recorded", result.stdout)
        after = self.contents()
        for name in ("k/audit.log", "k/audit.log.torn"):
            self.assertEqual(before.get(name), after.get(name))


class Records(AuditTest):
    def test_a_chain_of_real_decisions(self):
        lines = self.three()
        previous = ZEROS
        for number, (line, record) in enumerate(zip(lines, self.log()), 1):
            self.assertEqual(record["sequence"], number)
            self.assertEqual(record["previous"], previous)
            self.assertEqual(record["hash"], digest(record))
            self.assertEqual(line, canonical(record) + b"\n")
            self.assertEqual(record["volume"], VOLUME)
            self.assertEqual(record["broker"], "unlock")
            previous = record["hash"]
        self.assertEqual(self.verify(), {"intact": True, "records": 3, "head": previous,
                                         "recoveries": 0, "exit": OK})
        result = self.audit("verify")
        self.assertEqual(result.stdout, f"intact: 3 records\nhead: {previous}\n")
        self.assertEqual(result.stderr, "")
        self.assert_no_secret(self.path.read_text())

    def test_list(self):
        self.three()
        records = self.log()
        lines = self.audit("list").stdout.splitlines()
        self.assertEqual([line.split() for line in lines],
                         [[r["time"], r["id"], VOLUME, r["verdict"], r["peer"]] +
                          (["boot.kernel"] if r["verdict"] == "denied" else []) for r in records])
        self.assertEqual(self.audit("list", "--denied").stdout.splitlines(), lines[1:2])
        self.assertEqual(self.audit("list", "--volume", VOLUME.upper()).stdout.splitlines(), lines)
        self.assertEqual(self.audit("list", "--volume", VOLUME.replace("ab", "cd")).stdout, "")
        listed = json.loads(self.audit("list", "--denied", "--json").stdout)
        self.assertEqual(listed, {
            "records": [{"sequence": 2, "time": records[1]["time"], "id": records[1]["id"],
                         "volume": VOLUME, "peer": records[1]["peer"], "granted": False,
                         "verdict": "denied",
                         "reason": "boot.kernel"}],
            "intact": True, "error": None})

    def test_an_empty_list_is_json(self):
        self.path.write_text("")
        self.assertEqual(json.loads(self.audit("list", "--json").stdout)["records"], [])
        self.assertEqual(self.verify()["head"], ZEROS)
        self.assertEqual(json.loads(self.audit("export").stdout), [])

    def test_show(self):
        self.three()
        granted, denied, _ = self.log()
        text = self.audit("show", denied["id"]).stdout
        (finding,) = [f for f in denied["findings"] if f["verdict"] == "reject"]
        self.assertEqual(finding["check"], "boot.kernel")
        for key in ("expected", "found", "remedy"):
            self.assertRegex(text, rf"(?m)^ +{key} +")
            self.assertIn(finding[key], text)
        for key in ("time", "id", "broker", "peer", "volume", "hash", "previous", "evidence_sha256"):
            self.assertIn(denied[key], text)
        self.assertNotIn("reject ", self.audit("show", granted["id"]).stdout)
        self.assertEqual(json.loads(self.audit("show", granted["id"], "--json").stdout), granted)

    def test_show_what_is_not_there(self):
        self.grant()
        result = self.audit("show", "0" * 32, status=BAD_INPUT)
        self.assertIn("no record has the id", result.stderr)
        self.assertIn("expected one id, found 0", self.audit("show", status=USAGE).stderr)

    def test_export(self):
        self.three()
        self.assertEqual(json.loads(self.audit("export").stdout), self.log())
        self.audit("export", "-o", "export.json")
        out = self.folder / "export.json"
        self.assertEqual(json.loads(out.read_text()), self.log())
        self.assertEqual(out.stat().st_mode & 0o777, 0o600)
        self.assertIn("already exists", self.audit("export", "-o", "export.json",
                                                   status=BAD_INPUT).stderr)
        self.grant()
        self.audit("export", "-o", "export.json", "--force")
        self.assertEqual(len(json.loads(out.read_text())), 4)

    def test_no_log(self):
        for command in ("list", "verify", "export"):
            result = self.audit(command, status=BAD_INPUT)
            self.assertIn("k/audit.log: No such file or directory", result.stderr)
            self.assertIn("hint: ", result.stderr)
        self.path.mkdir()
        self.assertIn("ordinary file", self.audit("verify", status=BAD_INPUT).stderr)

    def test_wrong_options(self):
        self.assertIn("--volume", self.audit("list", "--volume", "x", status=USAGE).stderr)
        for head in ("", "00", "zz" * 32):
            self.assertIn("--head", self.audit("verify", "--head", head, status=USAGE).stderr)

    def test_text_of_a_guest_does_not_reach_the_terminal(self):
        self.unlock(Guest(self, "--do", "escape"), status=FAILED)
        (record,) = self.log()
        text = self.audit("show", record["id"]).stdout + self.audit("list").stdout
        self.assertEqual([c for c in text if c < " " and c != "\n" or "\x7f" <= c < "\xa0"], [])

    def test_reading_takes_little_memory(self):
        """A log that is larger than the address space."""
        self.grant()
        (record,) = self.log()
        record["findings"] += record["findings"] * 40
        with self.path.open("wb") as out:
            for number in range(1, 1200):
                record |= {"sequence": number, "previous": record["hash"] if number > 1 else ZEROS}
                record["hash"] = digest(record)
                out.write(canonical(record) + b"\n")
        self.assertGreater(self.path.stat().st_size, 64 << 20)
        for command in (["verify"], ["list"], ["export"], ["show", record["id"]]):
            subprocess.run(["/bin/sh", "-c", 'ulimit -v 65536; exec "$@"', "sh", ENCROOT, "audit",
                            *command, "-d", "k"], cwd=self.folder, check=True, timeout=120,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


class Falsified(AuditTest):
    """K2"""

    def test_a_byte_is_edited(self):
        first, second, third = self.three()
        self.path.write_bytes(first + second.replace(b'"boot.kernel"', b'"boot.kernal"') + third)
        self.assert_broken(2, "record 2 was changed", records=1)

    def test_any_byte_is_edited(self):
        """Here and there in a line, its end too."""
        lines = self.three()
        whole = b"".join(lines)
        for at in range(0, len(whole), 97):
            changed = bytearray(whole)
            changed[at] ^= 1
            self.path.write_bytes(changed)
            self.verify(status=REFUSED)
        for end in (len(lines[0]), len(lines[0]) + len(lines[1]), len(whole)):
            self.path.write_bytes(whole[:end - 1] + b" " + whole[end:])
            self.verify(status=REFUSED)
        self.path.write_bytes(whole)
        self.verify()

    def test_an_edited_record_with_a_hash_that_is_right(self):
        first, second, third = self.three()
        record = json.loads(second)
        record["peer"] = "127.0.0.1:1"
        record["hash"] = digest(record)
        self.path.write_bytes(first + canonical(record) + b"\n" + third)
        self.assert_broken(3, "record 3 does not follow the one before it", records=2)

    def test_a_denial_that_is_made_a_grant(self):
        first, second, third = self.three()
        self.path.write_bytes(first + second.replace(b'"denied"', b'"granted"') + third)
        self.assert_broken(2, "its findings contradict its verdict", records=1)

    def test_a_line_is_deleted(self):
        first, second, third = self.three()
        for lines, line in (([second, third], 1), ([first, third], 2)):
            self.path.write_bytes(b"".join(lines))
            self.assert_broken(line, f"expected record {line}, found record {line + 1}",
                               records=line - 1)

    def test_lines_are_reordered(self):
        first, second, third = self.three()
        self.path.write_bytes(first + third + second)
        self.assert_broken(2, "expected record 2, found record 3", records=1)

    def test_a_line_is_duplicated(self):
        first, second, third = self.three()
        self.path.write_bytes(first + second + second + third)
        self.assert_broken(3, "expected record 3, found record 2", records=2)

    def test_a_line_is_inserted(self):
        first, second, third = self.three()
        for line, text in ((b"\n", "line 1"), (b"{}\n", "is missing"), (b"\0\n", "line 1"),
                           (b"x" * 300000 + b"\n", "longer than"), (b" " + second, "not in the form")):
            self.path.write_bytes(first + line + second + third)
            report = self.verify(status=REFUSED)
            self.assertEqual((report["line"], report["records"]), (2, 1))
        self.assert_broken(2, "not in the form", records=1)

    def test_another_form_of_the_same_record(self):
        first, second, third = self.three()
        self.path.write_bytes(first + json.dumps(json.loads(second)).encode() + b"\n" + third)
        self.assert_broken(2, "not in the form", records=1)

    def test_the_last_line_is_deleted(self):
        """The chain is sound in itself: only a head that was kept elsewhere shows it."""
        first, second, third = self.three()
        head = self.head()
        self.path.write_bytes(first + second)
        self.assertEqual(self.verify()["records"], 2)
        report = self.verify("--head", head, status=REFUSED)
        self.assertIn(f"no record has the hash {head}", report["error"])
        self.assertEqual((report["intact"], report["since_head"]), (False, None))
        self.assertNotIn("line", report)
        self.assertIn("cut off, or replaced", self.audit("verify", "--head", head,
                                                         status=REFUSED).stderr)
        self.path.write_bytes(first + second + third)
        self.assertEqual(self.verify("--head", head)["since_head"], 0)

    def test_all_lines_are_deleted(self):
        self.three()
        head = self.head()
        self.path.write_bytes(b"")
        self.assertEqual(self.verify()["records"], 0)
        self.verify("--head", head, status=REFUSED)

    def test_a_log_that_grew_still_has_the_head(self):
        self.grant()
        head = self.head()
        self.deny()
        self.grant()
        self.assertEqual(self.verify("--head", head.upper())["since_head"], 2)
        self.assertIn(f"since {head}: 2 records\n", self.audit("verify", "--head", head).stdout)

    def test_the_log_is_replaced_by_another_chain(self):
        self.three()
        head = self.head()
        self.path.unlink()
        self.three()
        self.assertEqual(self.verify()["records"], 3)
        self.assertIn("replaced", self.verify("--head", head, status=REFUSED)["error"])

    def test_it_is_cut_off_within_a_line(self):
        first, second, third = self.three()
        self.path.write_bytes(first + second + third[:100])
        self.assert_broken(3, "the beginning of a record, 100 bytes, without its end", records=2)
        self.path.write_bytes(first + second + third[:-1])
        self.assert_broken(3, "the record has no line end", records=2)

    def test_what_is_broken_can_be_exported_as_it_is(self):
        first, second, third = self.three()
        self.path.write_bytes(first + b"a\0\xff\n" + third)
        exported = json.loads(self.audit("export", "--unverified").stdout)
        self.assertEqual(exported, [json.loads(first), {"line": 2, "unreadable": "a\\x00\\xff"},
                                    json.loads(third)])

    def test_what_is_broken_can_be_shown(self):
        first, second, third = self.three()
        self.path.write_bytes(first + second.replace(b"changed", b"CHANGED", 1) + third[:-2])
        result = self.audit("show", json.loads(second)["id"], status=REFUSED)
        self.assertIn("boot.kernel", result.stdout)
        self.assertIn("line 3", result.stderr)

    def test_an_edited_end_stops_every_release(self):
        first, second, third = self.three()
        for last in (third.replace(b'"granted"', b'"denied"'), third.replace(b"127.0", b"127.1"),
                     b"{}\n", b"\n", b"x" * 300000 + b"\n", third[:-1].replace(b"127.0", b"127.1"),
                     second + second[:-1], b"x" * 300000):
            with self.subTest(last[:40]):
                self.path.write_bytes(first + second + last)
                self.assert_stopped()
        self.path.write_bytes(first + second + third)
        self.grant()
        self.assertEqual(self.verify()["records"], 4)


class Checkpoints(AuditTest):
    """K2: a signature that was kept elsewhere shows what the chain itself cannot."""

    def checkpoint(self, name="c"):
        self.audit("checkpoint", "-o", name)
        return json.loads((self.folder / name).read_text())

    def witness(self, name="c", certificate="k/broker.crt", **kwargs):
        arguments = ["--checkpoint", name, "--certificate", certificate]
        report = self.verify(*arguments, **kwargs)
        result = self.audit("verify", *arguments, **kwargs)
        if "error" in report:
            self.assertIn(f"encroot: {report['error']}\n", result.stderr)
        return report, result.stdout

    def rebuild(self, lines, at, **changes):
        """The chain with one record changed, and made anew from there on: sound in itself."""
        records = [json.loads(line) for line in lines]
        records[at] |= changes
        previous = ZEROS
        for record in records:
            record["previous"] = previous
            previous = record["hash"] = digest(record)
        self.path.write_bytes(b"".join(canonical(r) + b"\n" for r in records))
        self.assertEqual(self.verify()["records"], len(lines))

    def test_a_chain_that_goes_on_holds(self):
        self.three()
        checkpoint = self.checkpoint()
        self.assertEqual((checkpoint["sequence"], checkpoint["hash"], checkpoint["broker"]),
                         (3, self.head(), "unlock"))
        report, text = self.witness()
        self.assertEqual(report["checkpoint"], {"sequence": 3, "time": checkpoint["time"],
                                                "broker": "unlock", "verdict": "holds"})
        self.assertIn("since the checkpoint: 0 records\n", text)
        self.grant()
        report, text = self.witness()
        self.assertEqual((report["intact"], report["checkpoint"]["verdict"]), (True, "holds"))
        self.assertIn("since the checkpoint: 1 records\n", text)

    def test_the_signature_by_openssl(self):
        """By its definition (broker/audit_checkpoint.h), without our code."""
        self.grant()
        c = self.checkpoint()
        time = int(datetime.fromisoformat(c["time"].replace("Z", "+00:00")).timestamp())
        (self.folder / "signed").write_bytes(
            b"encroot audit checkpoint v1\0" + c["sequence"].to_bytes(8, "big") +
            bytes.fromhex(c["hash"]) + time.to_bytes(8, "big"))
        (self.folder / "signature").write_bytes(base64.b64decode(c["signature"]))
        self.openssl("x509", "-in", "k/broker.crt", "-pubkey", "-noout", "-out", "public.pem")
        said = self.openssl("dgst", "-sha256", "-verify", "public.pem", "-signature", "signature",
                            "signed")
        self.assertIn("Verified OK", said)
        self.assertEqual(self.witness(certificate="public.pem")[0]["checkpoint"]["verdict"],
                         "holds")

    def test_the_end_is_cut_off_behind_a_checkpoint(self):
        lines = self.three()
        time = self.checkpoint()["time"]
        for n in (2, 1, 0):
            self.path.write_bytes(b"".join(lines[:n]))
            self.assertTrue(self.verify()["intact"])
            report, _ = self.witness(status=REFUSED)
            self.assertEqual((report["intact"], report["checkpoint"]["verdict"], report["error"]),
                             (False, "truncated",
                              f"k/audit.log: ends with record {n}, but record 3 was signed at "
                              f"{time}: its end was cut off"))
        self.grant()
        self.assertEqual(self.witness(status=REFUSED)[0]["checkpoint"]["verdict"], "truncated")

    def test_the_chain_is_made_anew(self):
        lines = self.three()
        time = self.checkpoint()["time"]
        for at in (0, 1, 2):
            self.rebuild(lines, at, peer="192.0.2.1:1")
            report, _ = self.witness(status=REFUSED)
            self.assertEqual((report["intact"], report["checkpoint"]["verdict"], report["error"]),
                             (False, "rewritten",
                              f"k/audit.log: record 3 is not the one that was signed at {time}: "
                              "the chain was made anew from that record on, or from an earlier "
                              "one"))
        self.path.write_bytes(b"".join(lines))
        self.grant()
        self.rebuild(self.lines(), 3, peer="192.0.2.1:1")  # which the checkpoint does not know
        self.witness()

    def test_a_line_is_wrong(self):
        first, second, third = self.three()
        self.checkpoint()
        changed = b"".join([first, second.replace(b"127.0", b"127.1"), third])
        self.path.write_bytes(changed)
        report, _ = self.witness(status=REFUSED)
        self.assertEqual((report["line"], report["checkpoint"]["verdict"]), (2, "unknown"))
        self.assertIn("record 2 was changed", report["error"])
        result = self.audit("checkpoint", "-o", "of-changed", status=REFUSED)
        self.assertIn("record 2 was changed", result.stderr)
        self.assertFalse((self.folder / "of-changed").exists())
        self.assertEqual(self.audit("checkpoint", status=REFUSED).stdout, "")

    def test_signed_by_another(self):
        """Who writes a log anew can sign it, with a key of their own."""
        lines = self.three()
        self.encroot("init", "evil")
        self.rebuild(lines, 1, peer="192.0.2.1:1")
        shutil.copy(self.path, self.folder / "evil/audit.log")
        self.encroot("audit", "checkpoint", "-d", "evil", "-o", "c")
        for json_too in ([], ["--json"]):
            result = self.audit("verify", "--checkpoint", "c", "--certificate", "k/broker.crt",
                                *json_too, status=BAD_INPUT)
            self.assertIn("c: the signature is not that of the broker's key",
                          result.stderr + result.stdout)
            self.assertNotIn("intact", result.stdout)

    def test_a_checkpoint_is_edited(self):
        self.three()
        good = self.checkpoint()
        older = dict(good, sequence=2, hash=self.log()[1]["hash"])
        for edited in (older, dict(good, time="2020-01-01T00:00:00Z")):
            (self.folder / "c").write_text(json.dumps(edited))
            self.assertIn("c: the signature is not",
                          self.audit("verify", "--checkpoint", "c", "--certificate",
                                     "k/broker.crt", status=BAD_INPUT).stderr)

    def test_what_is_given(self):
        self.grant()
        self.assertIn("already exists", self.audit("checkpoint", "-o", "k/broker.crt",
                                                   status=BAD_INPUT).stderr)
        self.assertEqual(json.loads(self.audit("checkpoint").stdout)["sequence"], 1)
        self.checkpoint()
        self.grant()
        self.audit("checkpoint", "-o", "c", "--force")
        self.assertEqual(json.loads((self.folder / "c").read_text())["sequence"], 2)
        for lonely in (["--checkpoint", "c"], ["--certificate", "k/broker.crt"]):
            self.assertIn("go together", self.audit("verify", *lonely, status=USAGE).stderr)
        for files in (("no", "k/broker.crt"), ("c", "no"), ("k/broker.crt", "k/broker.crt"),
                      ("c", "c"), ("c", "k/broker.key")):
            self.audit("verify", "--checkpoint", files[0], "--certificate", files[1],
                       status=BAD_INPUT)
        (self.folder / "k/broker.key").unlink()
        self.assertIn("k/broker.key", self.audit("checkpoint", status=BAD_INPUT).stderr)


class Unwritable(AuditTest):
    """K1: what cannot be recorded is not released."""

    def assert_not_released(self, text, **kwargs):
        guest = Guest(self)
        result = self.unlock(guest, status=FAILED, **kwargs)
        self.assertIn(text, result.stderr)
        self.assertNotIn("released", result.stdout)
        self.assertRegex(guest.said(), r"^status 503 ")

    def test_it_is_no_file(self):
        for make in (lambda p: p.mkdir(), lambda p: p.symlink_to("/dev/full"),
                     lambda p: p.symlink_to("no/such/folder")):
            make(self.path)
            self.assert_not_released("k/audit.log")
            self.path.rmdir() if self.path.is_dir() else self.path.unlink()

    def full_disk(self, size):
        """unlock, where no file may become larger than `size` bytes; returns its result."""
        guest = Guest(self)

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        result = subprocess.run([ENCROOT, "unlock", "-i", "127.0.0.1", "-p", str(guest.port), "-m",
                                 guest.rim, "-f", "k/hash.json", "-d", "k"], cwd=self.folder,
                                text=True, timeout=60, stdin=subprocess.DEVNULL, capture_output=True,
                                preexec_fn=limit, restore_signals=False)
        self.assertEqual(result.returncode, FAILED, result.stdout + result.stderr)
        self.assertIn("k/audit.log", result.stderr)
        self.assertRegex(guest.said(), r"^status 503 ")

    def test_the_disk_is_full(self):
        """Half the record fits: nothing of it stays."""
        self.grant()
        before = self.path.read_bytes()
        self.full_disk(len(before) + 100)
        self.assertEqual(self.path.read_bytes(), before)
        self.grant()
        self.assertEqual(self.verify()["records"], 2)

    def test_the_disk_is_full_and_the_end_is_torn(self):
        self.grant()
        whole = self.path.read_bytes()
        torn = whole + b'{"evidence_sha256":"00'
        self.path.write_bytes(torn)
        self.full_disk(len(torn) + 100)
        self.assertEqual(self.path.read_bytes(), torn)
        self.grant()
        self.assertEqual(self.log()[1]["recovered"], len(torn) - len(whole))

    def test_torn_bytes_that_cannot_be_kept_stay(self):
        self.path.write_bytes(b"{")
        (self.folder / "k/audit.log.torn").mkdir()
        self.assert_not_released("k/audit.log.torn")
        self.assertEqual(self.path.read_bytes(), b"{")


class Crashed(AuditTest):
    """A last line without its end."""

    def torn(self):
        return (self.folder / "k/audit.log.torn").read_bytes()

    def test_half_a_record_is_moved_away_and_counted(self):
        first, second, third = self.three()
        for n, cut in enumerate((1, 200, len(third) - 2), 1):
            self.path.write_bytes(first + second + third[:cut])
            self.assertIn("audit.log.torn", self.verify(status=REFUSED)["hint"])
            self.grant()
            self.assertEqual(self.lines()[:2], [first, second])
            record = self.log()[2]
            self.assertEqual((record["sequence"], record["recovered"]), (3, cut))
            self.assertTrue(self.torn().endswith(third[:cut] + b"\n"))
            self.assertEqual(self.torn().count(b"\n"), n)
            self.assertEqual(self.verify()["recoveries"], 1)
            text = self.audit("verify").stdout
            self.assertIn(f"note: record 3: {cut} bytes of an unfinished record", text)
            self.assertIn(f"{cut} bytes", self.audit("show", record["id"]).stdout)
        self.assertEqual((self.folder / "k/audit.log.torn").stat().st_mode & 0o777, 0o600)

    def test_the_first_record(self):
        self.path.write_bytes(b'{"time":"2026-01-01T00:00')
        self.grant()
        (record,) = self.log()
        self.assertEqual((record["sequence"], record["previous"], record["recovered"]),
                         (1, ZEROS, 25))
        self.assertEqual(self.torn(), b'{"time":"2026-01-01T00:00\n')

    def test_what_a_file_system_leaves(self):
        """Zeros, in the place of a record; more of them than the next record has bytes."""
        self.grant()
        whole = self.path.read_bytes()
        self.path.write_bytes(whole + bytes(9000))
        self.grant()
        self.assertTrue(self.path.read_bytes().startswith(whole))
        self.assertEqual(self.log()[1]["recovered"], 9000)
        self.assertEqual(self.verify()["records"], 2)

    def test_a_whole_record_only_gets_its_line_end(self):
        first, second, third = self.three()
        self.path.write_bytes(first + second + third[:-1])
        self.grant()
        self.assertEqual(self.lines()[:3], [first, second, third])
        self.assertEqual(self.log()[3]["recovered"], 0)
        self.assertEqual(self.verify()["records"], 4)
        self.assertFalse((self.folder / "k/audit.log.torn").exists())


class Together(AuditTest):
    def test_many_unlocks_at_once_make_one_chain(self):
        self.grant()
        guests = []
        for n, options in enumerate(([], ["--defect", "changed-kernel"]) * 4):
            guests.append(Guest(self, *options))  # which makes trust anchors of its own in k
            folder = self.folder / f"k{n}"
            shutil.copytree(self.folder / "k", folder)
            (folder / "audit.log").unlink()
            (folder / "audit.log").symlink_to(self.path)

        def unlock(n):
            return subprocess.run([ENCROOT, "unlock", "-i", "127.0.0.1", "-p", str(guests[n].port),
                                   "-m", guests[n].rim, "-f", "hash.json"], timeout=120,
                                  cwd=self.folder / f"k{n}", stdout=subprocess.DEVNULL,
                                  stdin=subprocess.DEVNULL).returncode

        # All of them come to the lock, then it opens.
        with self.path.open("rb") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            threading.Timer(2, fcntl.flock, (log, fcntl.LOCK_UN)).start()
            with concurrent.futures.ThreadPoolExecutor(len(guests)) as pool:
                codes = list(pool.map(unlock, range(len(guests))))
        self.assertEqual(codes, [OK, REFUSED] * 4)
        records = self.log()
        self.assertEqual([r["sequence"] for r in records], list(range(1, 10)))
        self.assertEqual({r["peer"] for r in records[1:]},
                         {f"127.0.0.1:{guest.port}" for guest in guests})
        self.assertEqual(self.verify()["records"], 9)


if __name__ == "__main__":
    unittest.main()
