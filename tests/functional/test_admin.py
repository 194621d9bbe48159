"""The administration of encrootd: every call, both roles, every refusal."""

import json
import os
import socket
import sqlite3
import subprocess
import time
import unittest

from broker_admin import CHANGE, HEX32, OTHER, SECRET, UUID, AdminTest, values

ADMIN_GID, READER_GID = 60, 100  # games, users: what admin-alone configures


class Volumes(AdminTest):
    def test_a_volume_comes_and_goes(self):
        v = self.add(name="web-1", approval="manual", rate={"count": 5, "seconds": 3600},
                     not_before="2026-01-01T00:00:00Z", not_after="2036-01-01T00:00:00Z")
        self.assertEqual((v["uuid"], v["name"], v["enabled"], v["approval"]),
                         (UUID, "web-1", True, "manual"))
        self.assertEqual(v["rate"], {"count": 5, "seconds": 3600})
        self.assertEqual(v["not_after"], "2036-01-01T00:00:00Z")
        self.assertEqual([(x["version"], x["valid"], x["label"]) for x in v["values"]],
                         [(1, True, "first")])
        self.assertNotIn("secret", json.dumps(v))
        for ref in (UUID, "web-1"):
            self.assertEqual(self.get(f"/v1/volumes/{ref}"), v)
        self.assertEqual(self.get("/v1/volumes"), {"volumes": [v], "more": False})
        self.assertEqual(self.ask("DELETE", "/v1/volumes/web-1", status=204).raw, b"")
        self.refused("GET", "/v1/volumes/web-1", status=404, text='no volume "web-1"')
        self.refused("DELETE", "/v1/volumes/web-1", status=404)

    def test_an_export_without_secret_is_told_how_to_have_it(self):
        whole = self.volume()
        del whole["secret"]
        told = self.refused("POST", "/v1/volumes", whole, 400, '"secret" is missing')
        self.assertIn("export --with-secret", told["hint"])

    def test_pages(self):
        for i in range(5):
            self.add(f"00000000-0000-4000-8000-00000000000{i}", name=f"v{i}")
        page = self.get("/v1/volumes?limit=2")
        self.assertEqual(([v["name"] for v in page["volumes"]], page["more"]), (["v0", "v1"], True))
        page = self.get("/v1/volumes?limit=3&after=v1")
        self.assertEqual(([v["name"] for v in page["volumes"]], page["more"]),
                         (["v2", "v3", "v4"], False))

    def test_settings_change_alone(self):
        self.add(name="a")
        self.add(OTHER, name="b")
        v = self.ask("PATCH", "/v1/volumes/a", {"enabled": False, "approval": "manual"}).json
        self.assertEqual((v["enabled"], v["approval"], v["revision"]), (False, "manual", 1))
        v = self.ask("PATCH", "/v1/volumes/a", {"rate": {"count": 1, "seconds": 60}}).json
        self.assertEqual((v["enabled"], v["rate"]), (False, {"count": 1, "seconds": 60}))
        v = self.ask("PATCH", "/v1/volumes/a", {"rate": None, "name": "c"}).json
        self.assertEqual((v["rate"], v["name"]), (None, "c"))
        self.assertEqual(self.get("/v1/volumes/c"), v)
        self.refused("PATCH", "/v1/volumes/c", {"name": "b"}, 409, 'another volume is called "b"')

    def test_what_is_no_setting(self):
        self.add(name="a", not_before="2026-06-01T00:00:00Z")
        for body, text in (
                ({"uuid": OTHER}, 'unknown member "uuid"'), ({"enabled": 1}, "true or false"),
                ({"approval": "maybe"}, '"auto" or "manual"'), ({"rate": 5}, "object or null"),
                ({"rate": {"count": 0, "seconds": 1}}, "at least 1"),
                ({"rate": {"count": 1}}, '"seconds" is missing'),
                ({"not_after": "tomorrow"}, "expected a time like"),
                ({"not_after": "2026-13-01T00:00:00Z"}, "expected a time like"),
                ({"not_after": "2026-02-30T00:00:00Z"}, "expected a time like"),
                ({"not_after": "2026-05-01T00:00:00Z"}, "is not before"),
                ({"name": "../x"}, '"name"'), ({"name": ""}, '"name"'), ({"name": "x" * 65}, '"name"'),
                ({"name": 7}, '"name"'), ({"name": OTHER}, "UUID of another volume")):
            with self.subTest(body=body):
                self.refused("PATCH", "/v1/volumes/a", body, 400, text)
        self.assertIsNone(self.get("/v1/volumes/a")["not_after"])

    def test_registration_is_checked(self):
        whole = self.volume()
        for change, text in (
                ({"uuid": "x"}, "is not a UUID"), ({"secret": None}, '"secret" is missing'),
                ({"secret": "AAAA"}, "expected 32 bytes"), ({"secret": SECRET[:-4] + "===="}, "expected 32"),
                ({"surprise": 1}, 'unknown member "surprise"'), ({"policy": []}, "must be an object"),
                ({"version": 2}, "expected 1, found 2"), ({"values": {}}, "must be an array"),
                ({"values": []}, "no valid reference values"),
                ({"values": [{"text": {"grub": 1}}]}, "values[0]"),
                ({"values": [{"text": values(), "extra": 1}]}, "unknown member"),
                ({"values": [{"text": values(), "valid": False}]}, "no valid reference values"),
                ({"policy": self.policy(boot=["disk.hash.json"])}, "cannot name files"),
                ({"policy": self.policy(volume=OTHER)}, "policy of another volume"),
                ({"policy": self.policy(rim=[])}, '"rim" is empty')):
            with self.subTest(change=change):
                answer = self.refused("POST", "/v1/volumes", {**whole, **change}, 400, text)
                self.assertNotIn(SECRET[:-4], json.dumps(answer))
        self.assertEqual(self.get("/v1/volumes")["volumes"], [])

    def test_one_of_each(self):
        self.add(name="a")
        self.refused("POST", "/v1/volumes", self.volume(name="z"), 409, "there is a volume")
        self.refused("POST", "/v1/volumes", self.volume(OTHER, name="a"), 409, "there is a volume")

    def test_export_is_import(self):
        self.add(name="a", approval="manual", rate={"count": 2, "seconds": 5},
                 values=[{"label": "old", "text": values("a1"), "valid": False},
                         {"label": "new", "text": values("b2")}])
        self.assertNotIn("secret", self.get("/v1/volumes/a/export"))
        export = self.get("/v1/volumes/a/export?secret=1")
        self.assertEqual(export["secret"], SECRET)
        self.ask("DELETE", "/v1/volumes/a", status=204)
        again = self.ask("POST", "/v1/volumes", export, status=201).json
        self.assertEqual([x["valid"] for x in again["values"]], [False, True])
        self.assertEqual(self.get("/v1/volumes/a/export?secret=1"), export)
        del export["secret"]
        self.refused("POST", "/v1/volumes", export, 400, '"secret" is missing')

    def test_secrets_are_nowhere_else(self):
        self.add(name="a")
        self.get("/v1/volumes/a/export?secret=1")
        self.stop()
        plain = bytes(range(32))
        for file in self.folder.iterdir():
            if file.is_file():
                self.assertNotIn(plain, file.read_bytes(), file.name)
                self.assertNotIn(SECRET.encode(), file.read_bytes(), file.name)


class Policies(AdminTest):
    def test_the_effective_policy_follows(self):
        self.add(name="a")
        p = self.get("/v1/volumes/a/policy")
        self.assertEqual(p["policy"], self.policy())
        self.assertEqual(p["effective"]["boot"], [values()])
        self.assertEqual(p["effective"]["volume"], UUID)
        added = self.ask("POST", "/v1/volumes/a/values", {"label": "update", "text": values("b2")},
                         status=201).json
        self.assertEqual(added, {"version": 2})
        p = self.get("/v1/volumes/a/policy")
        self.assertEqual([b["grub"][:2] for b in p["effective"]["boot"]], ["a1", "b2"])
        self.assertEqual(p["revision"], 2)
        self.ask("PATCH", "/v1/volumes/a/values/1", {"valid": False})
        p = self.get("/v1/volumes/a/policy")
        self.assertEqual([b["grub"][:2] for b in p["effective"]["boot"]], ["b2"])
        self.assertNotIn("boot", p["policy"])
        one = self.get("/v1/volumes/a/values/1")
        self.assertEqual((one["valid"], one["label"], one["text"]), (False, "first", values()))

    def test_nothing_changes_by_what_is_refused(self):
        self.add(name="a")
        before = self.get("/v1/volumes/a/policy"), self.get("/v1/volumes/a")
        self.refused("PATCH", "/v1/volumes/a/values/1", {"valid": False}, 400, "no valid reference")
        self.refused("POST", "/v1/volumes/a/values", {"label": "", "text": {"grub": "x"}}, 400)
        self.refused("POST", "/v1/volumes/a/values", {"label": "x" * 65, "text": values()}, 400,
                     "at most 64")
        self.refused("PATCH", "/v1/volumes/a/values/2", {"valid": True}, 404, "no version 2")
        self.refused("GET", "/v1/volumes/a/values/0", None, 404)
        self.refused("GET", "/v1/volumes/a/values/99999999999999999999", None, 404)
        self.refused("GET", "/v1/volumes/a/values/2", None, 404)
        self.refused("PUT", "/v1/volumes/a/policy", {"policy": self.policy(volume=OTHER)}, 400,
                     "another volume")
        self.refused("PUT", "/v1/volumes/a/policy",
                     {"policy": self.policy(trust={"certificates": ["/etc/passwd"]})}, 400,
                     "cannot name files")
        self.refused("PUT", "/v1/volumes/a/policy", {"policy": self.policy(), "revision": 7}, 409,
                     "at revision 1 by now")
        self.refused("PUT", "/v1/volumes/b/policy", {"policy": self.policy()}, 404)
        self.assertEqual((self.get("/v1/volumes/a/policy"), self.get("/v1/volumes/a")), before)

    def test_a_new_policy(self):
        self.add(name="a")
        new = self.policy(records=[HEX32])
        v = self.ask("PUT", "/v1/volumes/a/policy", {"policy": new, "revision": 1}).json
        self.assertEqual(v["revision"], 2)
        p = self.get("/v1/volumes/a/policy")
        self.assertEqual((p["policy"], p["effective"]["boot"]), (new, [values()]))
        self.assertIs(p["sealed"], True)


class Seals(AdminTest):
    """Somebody writes to the database who may not."""

    EDITS = (
        "UPDATE volume SET enabled = 0",
        "UPDATE volume SET approval = 0",
        "UPDATE volume SET name = 'b'",
        "UPDATE policy SET policy = CAST(replace(CAST(policy AS TEXT), 'rim', 'mir') AS BLOB)",
        "UPDATE policy SET effective = CAST(replace(CAST(effective AS TEXT), '\"a1', '\"b1') AS BLOB)",
        "UPDATE reference_values SET text = CAST(replace(CAST(text AS TEXT), '\"a1', '\"b1') AS BLOB)",
        "UPDATE reference_values SET text = CAST(replace(CAST(text AS TEXT), '\"c1', '\"b1') AS BLOB)",
        "UPDATE reference_values SET valid = 1",
        "UPDATE reference_values SET label = 'good'",
        "UPDATE reference_values SET version = version + 5",
        "DELETE FROM reference_values WHERE version = 2",
    )

    def sql(self, *statements):
        db = sqlite3.connect(self.folder / "broker.db", isolation_level=None, timeout=60)
        for statement in statements:
            db.execute(statement)
        db.close()

    def add_with_versions(self):
        self.add(name="a", approval="manual")
        self.ask("POST", "/v1/volumes/a/values", {"label": "old", "text": values("c1")}, status=201)
        self.ask("PATCH", "/v1/volumes/a/values/2", {"valid": False})

    def test_nothing_is_made_of_what_was_changed(self):
        self.add_with_versions()
        tables = "volume", "policy", "reference_values"
        self.sql(*(f"CREATE TABLE good_{t} AS SELECT * FROM {t}" for t in tables))
        before = self.get(f"/v1/volumes/{UUID}")
        self.assertIs(before["sealed"], True)
        for edit in self.EDITS:
            with self.subTest(edit):
                self.sql(edit)
                self.assertIs(self.get(f"/v1/volumes/{UUID}")["sealed"], False)
                for method, path, body in (
                        ("PUT", "/policy", {"policy": self.policy()}),
                        ("POST", "/values", {"label": "", "text": values("d1")}),
                        ("PATCH", "/values/1", {"valid": True}), ("GET", "/export", None),
                        ("GET", "/export?secret=1", None)):
                    told = self.refused(method, f"/v1/volumes/{UUID}{path}", body, 409,
                                        "past the broker")
                    self.assertIn("encroot volume seal", told["hint"])
                if edit.startswith("UPDATE volume"):
                    self.refused("PATCH", f"/v1/volumes/{UUID}", {"enabled": True}, 409)
                else:  # its settings are its own, and what was changed stays unsealed
                    v = self.ask("PATCH", f"/v1/volumes/{UUID}", {"enabled": False}).json
                    self.assertIs(v["enabled"], False)
                    self.assertIs(self.get(f"/v1/volumes/{UUID}")["sealed"], False)
                self.sql("PRAGMA foreign_keys = OFF", *(f"DELETE FROM {t}" for t in tables),
                         *(f"INSERT INTO {t} SELECT * FROM good_{t}" for t in tables))
        self.assertEqual(self.get(f"/v1/volumes/{UUID}"), before)
        self.ask("POST", "/v1/volumes/a/values", {"label": "", "text": values("d1")}, status=201)

    def test_what_is_told_says_so(self):
        self.add_with_versions()
        self.sql("UPDATE policy SET policy = CAST(replace(CAST(policy AS TEXT), 'rim', 'mir') AS BLOB)")
        for path in "", "/policy", "/values/1":
            self.assertIs(self.get(f"/v1/volumes/a{path}")["sealed"], False, path)

    def test_a_change_in_the_middle_of_a_change(self):
        """What was checked is what is sealed, and not what the database has by then."""
        text = "SET policy = CAST(replace(CAST(policy AS TEXT), 'rim', 'mir') AS BLOB)"
        for trigger, method, path, body, status, sealed in (
                (f"INSERT ON reference_values BEGIN UPDATE policy {text}; END",
                 "POST", "/values", {"label": "", "text": values("d1")}, 201, True),
                (f"UPDATE OF valid ON reference_values BEGIN UPDATE policy {text}; END",
                 "PATCH", "/values/2", {"valid": True}, 200, True),
                ("UPDATE OF valid ON reference_values BEGIN UPDATE reference_values SET text = "
                 "CAST(replace(CAST(text AS TEXT), '\"a1', '\"b1') AS BLOB); END",
                 "PATCH", "/values/2", {"valid": True}, 200, False),
                ("UPDATE OF revision ON volume BEGIN UPDATE volume SET approval = 0; END",
                 "PUT", "/policy", {"policy": self.policy()}, 200, False),
                ("UPDATE OF policy ON policy BEGIN UPDATE reference_values SET valid = 1; END",
                 "PUT", "/policy", {"policy": self.policy()}, 200, False)):
            with self.subTest(trigger):
                self.add_with_versions()
                self.sql(f"CREATE TRIGGER change AFTER {trigger}")
                self.ask(method, f"/v1/volumes/a{path}", body, status=status)
                self.sql("DROP TRIGGER change")
                self.assertIs(self.get("/v1/volumes/a")["sealed"], sealed)
                if sealed:  # it was written over
                    self.assertEqual(self.get("/v1/volumes/a/policy")["policy"], self.policy())
                self.ask("DELETE", "/v1/volumes/a", status=204)

    def test_an_administrator_takes_it_over(self):
        self.add_with_versions()
        self.sql("UPDATE volume SET enabled = 0", "UPDATE reference_values SET valid = 1")
        (listed,) = self.get("/v1/volumes")["volumes"]
        self.assertIs(listed["sealed"], False)
        v = self.ask("POST", "/v1/volumes/a/seal", {}).json
        self.assertEqual((v["sealed"], v["enabled"], v["revision"]), (True, False, 4))
        self.assertEqual(self.get("/v1/volumes/a"), v)
        boot = self.get("/v1/volumes/a/policy")["effective"]["boot"]
        self.assertEqual([b["grub"][:2] for b in boot], ["a1", "c1"])
        self.ask("PATCH", "/v1/volumes/a", {"enabled": True})
        actions = [(r["action"], r["detail"]) for r in self.ask("GET", "/v1/audit").lines]
        self.assertEqual(actions[-2], ("volume.seal", "revision 4"))
        self.refused("POST", "/v1/volumes/a/seal", {"x": 1}, 400)
        self.refused("POST", "/v1/volumes/none/seal", {}, 404)

    def test_what_no_guest_could_pass_is_not_taken_over(self):
        self.add(name="a")
        self.sql("UPDATE policy SET policy = x'7b'")
        self.refused("POST", "/v1/volumes/a/seal", {}, 500, "the stored policy is damaged")
        self.assertIs(self.get("/v1/volumes/a")["sealed"], False)

    def test_requests(self):
        self.add(name="a")
        for edit in ("request SET attester = zeroblob(32)", "request SET expires = expires + 1",
                     "request SET id = 'b'", "request SET peer = 'a friend'",
                     "volume SET name = 'another'"):
            with self.subTest(edit):
                self.seed(self.request("a" * 32))
                self.sql(f"UPDATE {edit}")
                (q,) = self.get("/v1/requests")["requests"]
                for verb in "approve", "deny":
                    self.refused("POST", f"/v1/requests/{q['id']}/{verb}", {}, 409,
                                 "past the broker")
                self.sql("DELETE FROM request")


class Requests(AdminTest):
    def test_approve_and_deny(self):
        self.add(name="a")
        self.seed(self.request("a" * 32), self.request("b" * 32), self.request("c" * 32, expires=-5))
        listed = {r["id"]: r for r in self.get("/v1/requests")["requests"]}
        self.assertEqual(set(listed), {"a" * 32, "b" * 32})
        r = listed["a" * 32]
        self.assertEqual((r["name"], r["state"], r["peer"], r["count"], r["attester"], r["decided_by"]),
                         ("a", "pending", "192.0.2.7 port 99", 3, "a7" * 32, None))
        done = self.ask("POST", f"/v1/requests/{'a' * 32}/approve", {}).json
        self.assertEqual(done["state"], "approved")
        self.assertIn("uid 0", done["decided_by"])
        self.assertEqual(self.ask("POST", f"/v1/requests/{'b' * 32}/deny", {}).json["state"], "denied")
        self.refused("POST", f"/v1/requests/{'a' * 32}/approve", {}, 409, "approved by")
        self.refused("POST", f"/v1/requests/{'b' * 32}/approve", {}, 409, "denied by")
        self.refused("POST", f"/v1/requests/{'c' * 32}/approve", {}, 409, "expired")
        self.refused("POST", f"/v1/requests/{'d' * 32}/approve", {}, 404)
        self.assertEqual(len(self.get("/v1/requests?all=1")["requests"]), 3)
        self.assertEqual(self.get("/v1/status")["pending"], 0)

    def test_an_approval_is_taken_back(self):
        self.add(name="a")
        self.seed(self.request("a" * 32))
        self.ask("POST", f"/v1/requests/{'a' * 32}/approve", {})
        done = self.ask("POST", f"/v1/requests/{'a' * 32}/deny", {}).json
        self.assertEqual(done["state"], "denied")
        self.refused("POST", f"/v1/requests/{'a' * 32}/deny", {}, 409, "denied by")


class Audit(AdminTest):
    def test_records_as_they_are(self):
        self.add(name="a")
        records = [self.record(n, granted=n % 2 == 1, volume=UUID if n < 60 else OTHER,
                               evidence='{"version": 1}' if n == 3 else "") for n in range(2, 101)]
        self.seed(*records)
        answer = self.ask("GET", "/v1/audit?limit=1000")
        self.assertEqual(answer.headers["Content-Type"], "application/x-ndjson")
        lines = answer.raw.decode().splitlines()
        self.assertEqual(json.loads(lines[0])["action"], "volume.add")
        self.assertEqual(lines[1:], [r["record"] for r in records])
        numbers = lambda query: [r["sequence"] for r in self.ask("GET", f"/v1/audit?{query}").lines]
        self.assertEqual(numbers("after=90&limit=3"), [91, 92, 93])
        self.assertEqual(numbers("newest=1&limit=40"), list(range(100, 60, -1)))
        self.assertEqual(numbers("newest=1&limit=2&after=50"), [49, 48])
        self.assertEqual(numbers("newest=1&limit=2&volume=a"), [59, 58])
        self.assertEqual(numbers(f"limit=2&volume={OTHER}"), [60, 61])
        columns, record = self.ask("GET", "/v1/audit?columns=1&after=2&limit=1").lines
        self.assertEqual(columns, {"sequence": 3, "hash": "03" * 32, "time": 1767225600,
                                   "id": f"{3:032x}", "granted": 1, "volume": UUID})
        self.assertEqual(json.dumps(record), records[1]["record"])
        one = self.get(f"/v1/audit/{3:032x}")
        self.assertEqual((one["record"]["sequence"], one["evidence"]), (3, {"version": 1}))
        self.assertIsNone(self.get(f"/v1/audit/{4:032x}")["evidence"])
        self.refused("GET", "/v1/audit/ffff", None, 404, "no record")
        status = self.get("/v1/status")
        self.assertEqual(status["audit"], {"sequence": 100, "hash": "64" * 32})
        self.assertEqual((status["broker"], status["role"], status["store"], status["volumes"]),
                         ("broker-1", "admin", {"kind": "sqlite", "up": True}, 1))

    def test_an_answer_that_is_full_leaves_no_gap(self):
        """A small record that would fit does not come before a large one that does not; and no columns
        come without their record."""
        count, large = 80, 250 << 10
        records = [self.record(n) for n in range(1, count + 1)]
        for n, r in enumerate(records):
            if n % 2:
                r["record"] = json.dumps({**json.loads(r["record"]), "filler": "x" * large})
        self.seed(*records)
        seen = []
        while len(seen) < count:
            after = seen[-1] if seen else 0
            answer = self.ask("GET", f"/v1/audit?after={after}&limit=1000")
            both = self.ask("GET", f"/v1/audit?after={after}&limit=1000&columns=1")
            for a in answer, both:
                self.assertLessEqual(len(a.raw), 8 << 20)
            self.assertTrue(answer.lines)
            self.assertEqual(both.lines[1::2], answer.lines[:len(both.lines) // 2])
            self.assertEqual(len(both.lines) % 2, 0)
            seen += [r["sequence"] for r in answer.lines]
            self.assertEqual(seen, list(range(1, len(seen) + 1)))

    def test_the_keeper_answers(self):
        c = self.get("/v1/audit/checkpoint")
        self.assertEqual((c["sequence"], c["hash"][:4], c["time"], c["broker"], c["version"]),
                         (7, "ab00", "2026-01-01T00:00:00Z", "broker-1", 1))

    def test_rewrapping_is_begun_and_looked_at(self):
        none = dict.fromkeys(("id", "user", "begun", "ended", "error", "hint"))
        none.update(state="idle", total=0, done=0, already=0, failed=0)
        self.assertEqual(self.get("/v1/vault/rewrap"), none)
        begun = {**none, "state": "running", "id": "a" * 32, "begun": "2026-01-01T00:00:00Z",
                 "total": 3, "user": self.get("/v1/status")["user"]}
        self.assertEqual(self.ask("POST", "/v1/vault/rewrap", {}, status=202).json, begun)
        busy = self.refused("POST", "/v1/vault/rewrap", {}, 409, "it runs")
        self.assertEqual(busy["hint"], "watch it")
        self.assertEqual(self.get("/v1/vault/rewrap"), begun)
        self.assertEqual(self.get("/v1/vault/rewrap"),
                         {**begun, "state": "finished", "ended": "2026-01-01T00:00:01Z", "done": 2,
                          "already": 1})
        self.ask("POST", "/v1/vault/rewrap", {}, status=202)
        self.get("/v1/vault/rewrap")
        self.assertEqual(self.get("/v1/vault/rewrap"),
                         {**begun, "state": "stopped", "id": "b" * 32, "done": 2,
                          "ended": "2026-01-01T00:00:01Z", "error": "the disk is tired",
                          "hint": "let it sleep"})
        self.refused("POST", "/v1/vault/rewrap", {"force": True}, 400, 'unknown member "force"')


class Roles(AdminTest):
    def test_by_group(self):
        self.add(name="a")
        for uid, gid, groups, read, write in (
                (0, 0, "", 200, 200), (12345, ADMIN_GID, "", 200, 200),
                (12345, 54321, str(ADMIN_GID), 200, 200),
                (12345, READER_GID, "", 200, 403), (12345, 54321, f"777,{READER_GID}", 200, 403),
                (12345, 54321, "", 403, 403)):
            with self.subTest(uid=uid, gid=gid, groups=groups):
                self.assertEqual(self.ask_as(uid, gid, groups, "/v1/volumes/a")[0], read)
                status, text = self.ask_as(
                    uid, gid, groups, "/v1/volumes/a", "-X", "PATCH", "-H", "X-Encroot-Admin: 1",
                    "-H", "Content-Type: application/json", "-d", '{"enabled": true}')
                self.assertEqual(status, write, text)

    def test_what_readers_may_not(self):
        self.add(name="a")
        self.seed(self.request())
        as_reader = lambda path, *curl: self.ask_as(12345, READER_GID, "", path, *curl)[0]
        change = ("-H", "X-Encroot-Admin: 1", "-H", "Content-Type: application/json", "-d", "{}")
        for path in ("/v1/status", "/v1/volumes", "/v1/volumes/a", "/v1/volumes/a/policy",
                     "/v1/volumes/a/values/1", "/v1/volumes/a/export", "/v1/requests", "/v1/audit",
                     "/v1/audit/checkpoint", "/v1/vault/rewrap", "/", "/status.js", "/status.css"):
            self.assertEqual(as_reader(path), 200, path)
        self.assertEqual(as_reader("/v1/volumes/a/export?secret=1"), 403)
        for method, path in (("POST", "/v1/volumes"), ("PATCH", "/v1/volumes/a"),
                             ("DELETE", "/v1/volumes/a"), ("PUT", "/v1/volumes/a/policy"),
                             ("POST", "/v1/volumes/a/values"), ("PATCH", "/v1/volumes/a/values/1"),
                             ("POST", f"/v1/requests/{'0' * 32}/approve"),
                             ("POST", f"/v1/requests/{'0' * 32}/deny"), ("POST", "/v1/vault/rewrap")):
            self.assertEqual(as_reader(path, "-X", method, *change), 403, f"{method} {path}")

    def test_who_did_what_is_logged_and_recorded(self):
        """In one chain with the decisions, in the transaction that changes it; here without a keeper,
        which records what it does."""
        self.add(name="a")
        self.ask("PATCH", "/v1/volumes/a", {"enabled": False})
        self.ask("PUT", "/v1/volumes/a/policy", {"policy": self.policy()})
        self.ask("POST", "/v1/volumes/a/values", {"label": "next", "text": values()}, status=201)
        self.ask("PATCH", "/v1/volumes/a/values/1", {"valid": False})
        self.ask("PATCH", "/v1/volumes/a/values/1", {"valid": True})
        self.seed(self.request("a" * 32), self.request("b" * 32))
        self.ask("POST", f"/v1/requests/{'a' * 32}/approve", {})
        self.ask("POST", f"/v1/requests/{'b' * 32}/deny", {})
        self.ask("DELETE", "/v1/volumes/a", status=204)
        expected = [("volume.add", "registered a volume", "a"),
                    ("volume.set", "changed a volume", '{"enabled":false}'),
                    ("policy.set", "set the policy", "revision 2"),
                    ("values.add", "added reference values", 'version 2 "next"'),
                    ("values.disable", "reference values are not valid any more", "version 1"),
                    ("values.enable", "reference values are valid", "version 1"),
                    ("request.approve", "approved a request", f"request {'a' * 32}"),
                    ("request.deny", "denied a request", f"request {'b' * 32}"),
                    ("volume.remove", "removed a volume", "a")]
        records = self.ask("GET", "/v1/audit").lines
        told = {e.get("id"): e for e in self.events()}
        self.assertEqual([(r["action"], r["detail"]) for r in records],
                         [(action, detail) for action, _, detail in expected])
        for record, (_, message, detail) in zip(records, expected):
            event = told[record["id"]]
            self.assertEqual((event["message"], event["detail"], event["user"], event["volume"]),
                             (message, detail, record["user"], UUID))
            self.assertIn("uid 0", record["user"])
            self.assertEqual((record["volume"], record["verdict"], record["broker"]),
                             (UUID, "changed", "broker-1"))

    def test_what_was_refused_or_only_read_is_no_change(self):
        self.add(name="a")
        self.refused("PATCH", "/v1/volumes/a", {"enabled": 7})
        self.refused("POST", "/v1/volumes", self.volume(name="a"), 409)
        self.refused("PUT", "/v1/volumes/a/policy", {"policy": self.policy(), "revision": 77}, 409)
        self.refused("PATCH", "/v1/volumes/a/values/9", {"valid": False}, 404)
        self.refused("DELETE", "/v1/volumes/b", None, 404)
        self.get("/v1/volumes/a/export")
        self.assertEqual([r["action"] for r in self.ask("GET", "/v1/audit").lines], ["volume.add"])


class Http(AdminTest):
    """What no client of ours would send."""

    def raw(self, data, status, read=65536):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(str(self.folder / "admin.sock"))
            s.sendall(data)
            answer = b""
            while part := s.recv(read):
                answer += part
        self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer[:300])
        return answer

    def test_changes_need_marks(self):
        body = {"enabled": False}
        self.add(name="a")
        patch = lambda headers, status: self.ask("PATCH", "/v1/volumes/a", body, headers, status)
        patch({"Content-Type": "application/json"}, 403)
        patch({**CHANGE, "X-Encroot-Admin": "0"}, 403)
        patch({"X-Encroot-Admin": "1"}, 415)
        patch({**CHANGE, "Content-Type": "text/plain"}, 415)
        patch({**CHANGE, "Content-Type": "application/x-www-form-urlencoded"}, 415)
        patch({**CHANGE, "Origin": "https://evil.example"}, 403)
        patch({**CHANGE, "Origin": "null"}, 403)
        patch({**CHANGE, "Host": "evil.example"}, 403)
        patch({**CHANGE, "Host": "evil.example", "Origin": "http://evil.example"}, 403)
        for name in ("broker", "encrootd"):  # names that a DNS server may answer, as any other
            patch({**CHANGE, "Host": f"{name}:80", "Origin": f"http://{name}:80"}, 403)
        self.assertTrue(self.get("/v1/volumes/a")["enabled"])
        patch({**CHANGE, "Host": "localhost:8080", "Origin": "http://localhost:8080"}, 200)
        self.ask("GET", "/v1/volumes", headers={"Origin": "https://evil.example"}, status=403)
        self.ask("GET", "/v1/volumes", headers={"Host": "evil.example:80"}, status=403)
        self.ask("DELETE", "/v1/volumes/a", headers={}, status=403)

    def test_headers_of_every_answer(self):
        for path, status in (("/", 200), ("/v1/status", 200), ("/nothing", 404)):
            answer = self.ask("GET", path, status=status)
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            policy = answer.headers["Content-Security-Policy"]
            for part in ("default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"):
                self.assertIn(part, policy)
            self.assertNotIn("unsafe", policy)
            self.assertFalse([h for h in answer.headers if h.lower().startswith("access-control")])

    def test_hostile_json(self):
        self.add(name="a")
        deep = b'{"name":' + b"[" * 30000
        for body in (b"", b"{", b"[]", b"null", b'"x"', b'{"name":"b"} x', b'{"name":"b","name":"c"}',
                     b'{"name":"\xff"}', b'{"name":"a\\u0000b"}', deep, b'{"rate":{"count":1e99}}',
                     b'{"rate":{"count":99999999999999999999,"seconds":1}}', b'{"enabled":"true"}'):
            with self.subTest(body=body[:40]):
                self.refused("PATCH", "/v1/volumes/a", body)
        self.assertEqual(self.get("/v1/volumes/a")["name"], "a")

    def test_paths_and_queries(self):
        self.add(name="a")
        for path, status in (("/v1", 404), ("/v1/volumes/", 404), ("/v1/volumes/a/", 404),
                             ("//", 404), ("/v1/volumes/../status", 404), ("/v1/volumes/%61", 404),
                             ("/v1/volumes?limit=x", 400), ("/v1/volumes?limit=-1", 400),
                             ("/v1/volumes?limit=1&limit=2", 400), ("/v1/volumes?surprise=1", 400),
                             ("/v1/volumes?limit", 400), ("/v1/volumes?after=%00", 400),
                             ("/v1/status?x=1", 400), ("/v1/requests?all=2", 400)):
            with self.subTest(path=path):
                self.ask("GET", path, status=status)
        self.ask("PUT", "/v1/volumes", {}, status=405)
        self.ask("HEAD", "/v1/status", headers={}, status=405)
        self.ask("OPTIONS", "/v1/volumes", headers={}, status=405)

    def test_malformed_heads(self):
        for head in (b"GET /v1/status HTTP/1.0\r\n\r\n", b"GET  /v1/status HTTP/1.1\r\n\r\n",
                     b"GET http://localhost/v1/status HTTP/1.1\r\n\r\n", b"\r\n\r\n",
                     b"GET /v1/status HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
                     b"GET /v1/status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n",
                     b"GET /v1/status HTTP/1.1\r\n X-Folded: y\r\n\r\n",
                     b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"):
            with self.subTest(head=head[:40]):
                self.raw(head, 400)
        self.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431)
        self.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 100000, 431)

    def test_bodies_are_bounded(self):
        self.add(name="a")
        big = b'{"name": "' + b"x" * (70 << 10) + b'"}'
        self.refused("PATCH", "/v1/volumes/a", big, 413, "at most 65536")
        huge = self.volume(OTHER, policy={"x": "y" * (9 << 20)})
        self.refused("POST", "/v1/volumes", huge, 413)
        large = self.volume(OTHER, policy=self.policy(records=[HEX32] * 1025 + ["x" * (7 << 20)]))
        self.refused("POST", "/v1/volumes", large, 400, "more than 1024 entries")
        self.ask("GET", "/v1/status", b"x", status=413)

    def test_slow_clients_end(self):
        self.add(name="a")
        began = time.monotonic()
        clients = []
        for data in (b"", b"GET /v1/st", b"PATCH /v1/volumes/a HTTP/1.1\r\nX-Encroot-Admin: 1\r\n"
                     b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"):
            s = socket.socket(socket.AF_UNIX)
            self.addCleanup(s.close)
            s.settimeout(60)
            s.connect(str(self.folder / "admin.sock"))
            s.sendall(data)
            clients.append(s)
        self.get("/v1/status")
        ended = False
        while not ended and time.monotonic() - began < 50:  # bytes that trickle in win no time
            try:
                clients[1].sendall(b"a")
                time.sleep(0.2)
            except OSError:
                ended = True
        self.assertTrue(ended)
        self.assertEqual([clients[0].recv(100), clients[2].recv(100)], [b"", b""])

    def test_a_flood_leaves_others_their_turn(self):
        idle = []
        for _ in range(150):
            s = socket.socket(socket.AF_UNIX)
            self.addCleanup(s.close)
            s.connect(str(self.folder / "admin.sock"))  # waits while the queue is full
            idle.append(s)
        self.assertEqual(self.get("/v1/status")["broker"], "broker-1")  # when the idle ones are gone

    def test_strangers_leave_others_their_places(self):
        groups, idle = os.getgroups(), []
        try:
            os.setgroups([])
            os.setegid(54321)
            os.seteuid(12345)
            for _ in range(100):
                s = socket.socket(socket.AF_UNIX)
                self.addCleanup(s.close)
                s.connect(str(self.folder / "admin.sock"))
                s.setblocking(False)
                idle.append(s)
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
        self.get("/v1/status")
        held = 0
        for s in idle:
            try:
                s.recv(1)
            except BlockingIOError:
                held += 1
        self.assertLessEqual(held, 8)

    def test_no_store_no_change(self):
        self.add(name="a")
        other = sqlite3.connect(self.folder / "broker.db", isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.ask("PATCH", "/v1/volumes/a", {"enabled": False}, status=503)
        other.execute("ROLLBACK")
        self.assertTrue(self.get("/v1/volumes/a")["enabled"])
        self.ask("PATCH", "/v1/volumes/a", {"enabled": False})

    def test_status_of_a_store_that_cannot_be_read(self):
        self.add(name="a")
        for file in ("broker.db", "broker.db-wal"):
            path = self.folder / file
            path.write_bytes(b"x" * path.stat().st_size)
        status = self.get("/v1/status")
        self.assertFalse(status["store"]["up"])
        self.assertEqual((status["audit"], status["volumes"], status["pending"]), (None,) * 3)

    def test_it_ends(self):
        slow = socket.socket(socket.AF_UNIX)
        self.addCleanup(slow.close)
        slow.settimeout(60)
        slow.connect(str(self.folder / "admin.sock"))
        slow.sendall(b"GET /v1/status HTTP/1.1\r\n")
        self.get("/v1/status")  # it has accepted both
        self.process.stdin.write("drain\n")
        self.process.stdin.flush()
        refused = False
        for _ in range(600):
            with socket.socket(socket.AF_UNIX) as s:
                try:
                    s.connect(str(self.folder / "admin.sock"))
                except OSError:
                    refused = True
                    break
            time.sleep(0.05)
        self.assertTrue(refused)
        slow.sendall(b"Host: localhost\r\n\r\n")
        self.assertIn(b"200 OK", slow.recv(100))
        slow.close()
        self.assertEqual(self.process.wait(timeout=60), 0)


class MutualTls(AdminTest):
    TLS = True

    def certificate(self, name):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out",
                        f"{name}.pem", "-subj", f"/CN={name}", "-addext",
                        "subjectAltName=DNS:localhost"], cwd=self.folder, check=True,
                       stderr=subprocess.DEVNULL)
        (self.folder / f"{name}.key").chmod(0o600)
        spki = subprocess.run(f"openssl x509 -in {name}.pem -noout -pubkey | openssl pkey -pubin "
                              "-outform DER | sha256sum", shell=True, cwd=self.folder, check=True,
                              text=True, stdout=subprocess.PIPE).stdout
        return spki.split()[0]

    def prepare(self):
        self.pins = pins = {name: self.certificate(name) for name in ("admin", "reader", "chief", "stranger")}
        (self.folder / "clients").write_text(
            f"reader {pins['reader']} monitoring\nadmin {pins['chief']} chief\n")

    def curl(self, path, client, *more):
        """(curl's exit status, HTTP status, text)"""
        who = ["--cert", f"{client}.pem", "--key", f"{client}.key"] if client else []
        done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", "--cacert", "admin.pem", *who,
                               *more, f"https://localhost:{self.port}{path}"], cwd=self.folder,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        text, _, status = done.stdout.rpartition("\n")
        return done.returncode, int(status or 0), text or done.stderr

    def test_roles_by_certificate(self):
        change = ("-X", "POST", "-H", "X-Encroot-Admin: 1", "-H", "Content-Type: application/json",
                  "-d", "{}")
        code, status, text = self.curl("/v1/status", "reader")
        self.assertEqual((code, status), (0, 200), text)
        told = json.loads(text)
        self.assertEqual((told["role"], told["user"]), ("reader", "monitoring (certificate)"))
        self.assertEqual(self.curl("/v1/vault/rewrap", "reader", *change)[1], 403)
        self.assertEqual(json.loads(self.curl("/v1/status", "chief")[2])["role"], "admin")
        self.assertEqual(self.curl("/v1/vault/rewrap", "chief", *change)[1], 202)

    def test_others_get_no_handshake(self):
        for client in ("stranger", None):
            code, status, text = self.curl("/v1/status", client)
            self.assertEqual((code, status), (56, 0), text)
            self.assertIn("alert", text)
        self.assertIn(f"admin-client = reader sha256:{self.pins['stranger']} NAME",
                      self.log.read_text())
        self.assertEqual(self.curl("/v1/status", "chief", "--tls-max", "1.2")[1], 0)
        self.assertEqual(self.curl("/v1/status", "chief")[1], 200)

    def test_origins(self):
        own = f"https://localhost:{self.port}"
        self.assertEqual(self.curl("/v1/status", "chief", "-H", f"Origin: {own}")[1], 200)
        self.assertEqual(self.curl("/v1/status", "chief", "-H", "Origin: https://evil.example")[1], 403)
        plain = f"Origin: http://localhost:{self.port}"
        self.assertEqual(self.curl("/v1/status", "chief", "-H", plain)[1], 403)

    def test_many_at_once(self):
        held = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(100)]
        self.addCleanup(lambda: [s.close() for s in held])
        self.assertEqual(self.get("/v1/status")["role"], "admin")  # the UNIX socket has its own room
        self.assertEqual(self.curl("/v1/status", "chief")[1], 200)


if __name__ == "__main__":
    unittest.main()
