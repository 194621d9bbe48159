"""encrootd with SQLite: releases, refusals, administration, and what the network does to it."""

import base64
import contextlib
import hashlib
import json
import os
import re
import resource
import signal
import socket
import sqlite3
import ssl
import subprocess
import time
import unittest
import uuid
from pathlib import Path

from broker import Broker, BrokerTest, finish, load, until
from ports import free_port
from program import ENCROOT, FAILED, REFUSED
from sanitizer import SANITIZED

HEAD = "POST /v1/release HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\n"


def tls(alpn=("encroot/1",), version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def connect(broker, **kwargs):
    s = socket.create_connection(("127.0.0.1", broker.port), 30)
    return tls(**kwargs).wrap_socket(s)


def ask(broker, *parts):
    """Send bytes; (status, body) of what comes back, (None, b"") if nothing does."""
    data = b""
    with connect(broker) as s, contextlib.suppress(OSError, ssl.SSLError):
        for part in parts:
            s.sendall(part if isinstance(part, bytes) else part.encode())
        while chunk := s.recv(65536):
            data += chunk
    found = re.match(rb"HTTP/1\.1 (\d+) ", data)
    return (int(found[1]), data.split(b"\r\n\r\n", 1)[1]) if found else (None, data)


class Release(BrokerTest):
    def test_guests_get_the_keys_of_their_own_volumes(self):
        broker = self.broker()
        volumes = [self.owner.new_volume(broker) for _ in range(3)]
        log = self.folder / "guests"
        result = load([broker], volumes, "--clients", 4, "--count", 30, "--log", log)
        self.assertEqual((result["released"], result["attempts"]), (30, 30))
        got = {line.split()[0]: line.split()[-1] for line in log.read_text().splitlines()}
        for number, digest in got.items():
            secret = self.owner.volumes[volumes[int(number) % 3]]
            self.assertEqual(digest, hashlib.sha256(secret).hexdigest())
        records = self.assert_whole(broker, granted=30)
        self.assertEqual({r["volume"] for r in records}, set(volumes))
        self.assertEqual({r["broker"] for r in records}, {"a"})
        self.assertEqual(broker.metrics()["encroot_released_total"], 30)
        # K3, K5: not in the database, the log, the metrics, or any answer of the administration
        files = [p.read_bytes() for p in broker.folder.glob("broker.db*")]
        self.assertTrue(files)
        self.assert_no_secret(*files, broker.log(), broker.monitor("/metrics")[1],
                              json.dumps(records), json.dumps(broker.api("GET", "/v1/volumes")))

    def test_a_disabled_volume_is_refused_and_explained(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker, name="web-1")
        broker.encroot("volume", "disable", "web-1")
        result = load([broker], [volume], "--clients", 1, "--count", 1)
        self.assertEqual(result["denied"], 1)
        shown = broker.encroot("audit", "show", result["last_refusal"]).stdout
        self.assertIn("volume.enabled", shown)
        # its evidence passed, and is kept all the same: not for what was released
        self.assertRegex(shown, r"(?s)the evidence, by the volume's policy of now.*verdict: pass")
        broker.encroot("volume", "enable", volume)
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["released"], 1)
        released = self.assert_whole(broker, granted=1)[-1]["id"]
        self.assertIn("not kept", broker.encroot("audit", "show", released).stdout)
        changes = broker.encroot("audit", "list", "--changes").stdout.splitlines()
        self.assertEqual(len(changes), 3)
        self.assertRegex(changes[1], rf"{volume}  changed  root \(uid 0\)  volume\.set  "
                                     r'\{"enabled":false\}$')

    def test_secrets_leave_on_record_only(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        broker.encroot("volume", "export", volume, "-o", "plain.json")
        broker.encroot("volume", "export", volume, "--with-secret", "-o", "whole.json")
        self.assert_whole(broker)
        actions = [r["action"] for r in broker.audit()]
        self.assertEqual(actions, ["volume.add", "secret.export"])

    def test_a_volume_changed_past_the_broker_is_refused(self):
        """Its policy lets in a guest that the owner's does not; and then it is taken over."""
        broker = self.broker()
        policy = self.folder / "other.json"
        policy.write_text(self.owner.policy.read_text().replace(self.owner.rim, "ab" * 32))
        volume = self.owner.new_volume(broker, "--approval", "manual", name="web-1")
        broker.encroot("volume", "policy", volume, "--set", policy)
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["denied"], 1)

        def sql(statement):
            subprocess.run(["sqlite3", "-cmd", ".timeout 60000", broker.folder / "broker.db",
                            statement], check=True)

        sql("UPDATE policy SET effective = CAST(replace(CAST(effective AS TEXT), "
            f"'{'ab' * 32}', '{self.owner.rim}') AS BLOB)")
        broker.reload()  # what is remembered of policies is forgotten
        for statement, what in (("UPDATE volume SET revision = revision", "its policy was"),
                                ("UPDATE volume SET approval = 0", "its settings were")):
            sql(statement)
            result = load([broker], [volume], "--clients", 1, "--count", 1)
            self.assertEqual((result["denied"], result["released"]), (1, 0))
            self.assertRegex(broker.log(), f"web-1.*{what} changed in the store")
            shown = broker.encroot("audit", "show", result["last_refusal"]).stdout
            self.assertRegex(shown, rf"(?s)volume\.seal.*{what} changed.*encroot volume seal {volume}")
        self.assertIn("unsealed", broker.encroot("volume", "list").stdout)
        broker.encroot("volume", "enable", volume, status=FAILED)

        sql("UPDATE policy SET policy = CAST(replace(CAST(policy AS TEXT), "
            f"'{'ab' * 32}', '{self.owner.rim}') AS BLOB)")
        broker.encroot("volume", "seal", "web-1", "--yes")
        self.assertNotIn("unsealed", broker.encroot("volume", "list").stdout)
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["released"], 1)
        self.assert_whole(broker, granted=1)

    def test_an_approval_in_the_database_is_none(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker, "--approval", "manual")
        result = load([broker], [volume], "--clients", 1, "--count", 1)
        self.assertEqual(result["denied"], 1)
        subprocess.run(["sqlite3", "-cmd", ".timeout 60000", broker.folder / "broker.db",
                        "UPDATE request SET state = 1, decided_by = 'root (uid 0)'"], check=True)
        (request,) = broker.api("GET", "/v1/requests")[1]["requests"]
        self.assertEqual(request["state"], "unsealed")
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["denied"], 1)
        (request,) = broker.api("GET", "/v1/requests")[1]["requests"]
        self.assertEqual((request["state"], request["decided_by"]), ("pending", None))
        broker.encroot("request", "approve", request["id"])
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["released"], 1)

    def test_unknown_volume(self):
        broker = self.broker()
        self.owner.new_volume(broker)
        result = load([broker], ["00000000-0000-4000-8000-000000000001"], "--clients", 1, "--count",
                      1)
        self.assertEqual(result["denied"], 1)
        (record,) = self.assert_whole(broker, granted=0)
        self.assertIn("volume.known", [f["check"] for f in record["findings"]])

    def test_another_policy_refuses(self):
        """What is asked for under a changed policy is appraised by that, at once."""
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        self.assertEqual(load([broker], [volume], "--clients", 2, "--count", 4)["released"], 4)
        policy = json.loads(self.owner.policy.read_text())
        text = json.dumps(policy).replace(self.owner.rim, "ab" * 32)
        self.assertNotEqual(text, json.dumps(policy))
        (self.folder / "other.json").write_text(text)
        broker.encroot("volume", "policy", volume, "--set", "other.json")
        result = load([broker], [volume], "--clients", 2, "--count", 4)
        self.assertEqual((result["denied"], result["attempts"]), (4, 4))
        broker.encroot("volume", "policy", volume, "--set", self.owner.policy)
        self.assertEqual(load([broker], [volume], "--clients", 2, "--count", 4)["released"], 4)
        self.assert_whole(broker, granted=8)

    def test_reference_values_in_versions(self):
        """Two boots are good at once, until one of them is retired."""
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        other = json.loads(self.owner.reference.read_text())
        text = json.dumps(other)
        changed = re.sub(r"[0-9a-fA-F]{64}", lambda m: hashlib.sha256(m[0].encode()).hexdigest(),
                         text)
        self.assertNotEqual(text, changed)
        (self.folder / "other.json").write_text(changed)
        policy = json.loads(self.owner.policy.read_text())
        del policy["boot"]
        (self.folder / "bare.json").write_text(json.dumps(policy))

        def ask():
            return load([broker], [volume], "--clients", 1, "--count", 2)["released"]

        broker.encroot("volume", "values", volume, "--add", "other.json", "--label", "an update")
        broker.encroot("volume", "policy", volume, "--set", "bare.json")
        self.assertEqual(ask(), 2)
        broker.encroot("volume", "values", volume, "--retire", 1)
        self.assertEqual(ask(), 0)
        broker.encroot("volume", "values", volume, "--restore", 1)
        self.assertEqual(ask(), 2)
        broker.encroot("volume", "values", volume, "--retire", 2)
        self.assertEqual(ask(), 2)
        listed = json.loads(broker.encroot("volume", "values", volume, "--json").stdout)
        self.assertEqual([(v["version"], v["valid"]) for v in listed["values"]],
                         [(1, True), (2, False)])

    def test_an_operator_approves(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker, "--approval", "manual")
        result = load([broker], [volume], "--clients", 1, "--count", 1)
        self.assertEqual(result["denied"], 1)
        status, answer = broker.api("GET", "/v1/requests")
        (request,) = answer["requests"]
        self.assertEqual((request["id"], request["state"]), (result["last_refusal"], "pending"))
        broker.encroot("request", "approve", request["id"])
        # for one release
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["released"], 1)
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["denied"], 1)
        (request,) = [r for r in broker.api("GET", "/v1/requests")[1]["requests"]
                      if r["state"] == "pending"]
        broker.encroot("request", "deny", request["id"])
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["denied"], 1)
        self.assert_whole(broker, granted=1)

    def test_rate_limit(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker, "--rate", "3/3600")
        result = load([broker], [volume], "--clients", 8, "--count", 12)
        self.assertEqual((result["released"], result["denied"]), (3, 9))
        self.assert_whole(broker, granted=3)

    def test_validity_window(self):
        broker = self.broker()
        early = self.owner.new_volume(broker, "--not-before", "2200-01-01T00:00:00Z")
        late = self.owner.new_volume(broker, "--not-after", "2020-01-01T00:00:00Z")
        now = self.owner.new_volume(broker, "--not-before", "2020-01-01T00:00:00Z", "--not-after",
                                    "2200-01-01T00:00:00Z")
        for volume, outcome in ((early, "denied"), (late, "denied"), (now, "released")):
            result = load([broker], [volume], "--clients", 1, "--count", 1)
            self.assertEqual(result[outcome], 1, volume)

    def test_rewrap(self):
        """A new key-encryption key, while guests are served; then the old one is gone."""
        broker = self.broker()
        volumes = [self.owner.new_volume(broker) for _ in range(3)]
        old = broker.settings["kek"]
        new = self.folder / "new.kek"
        with open(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(os.urandom(32))
        broker.settings.update({"kek": f"file:{new}", "kek-old": old})
        broker.write_conf()
        running = load([broker], volumes, "--clients", 2, "--seconds", 600, wait=False)
        broker.reload()
        self.assertIn("rewrapped 3,", broker.encroot("vault", "rewrap").stdout)
        before = broker.released()
        until("guests are served", lambda: broker.released() > before + 10)
        result = finish(running)
        self.assertEqual((result["failed"], result["unavailable"], result["denied"]), (0, 0, 0))
        # who met the old processes at the end asks again: they cannot unwrap by the new key
        self.assertIn(result["last_failure"], ("", "status 503, unavailable"))
        del broker.settings["kek-old"]
        broker.settings["kek"] = old  # the wrong one is gone
        broker.write_conf()
        broker.stop()
        broker.start()
        self.assertEqual(load([broker], volumes[:1], "--clients", 1, "--count", 1, "--patience",
                              0)["released"], 0)
        for command, status in ((["audit", "show", broker.audit()[-1]["id"]], 0),
                                (["volume", "export", volumes[0], "--with-secret"], 1)):
            said = broker.encroot(*command, status=status)
            self.assertIn("kek-old", said.stdout + said.stderr)
        broker.encroot("vault", "rewrap", status=1)
        self.assertIn("kek-old", broker.log())
        broker.settings["kek"] = f"file:{new}"
        broker.write_conf()
        broker.stop()
        broker.start()
        after = load([broker], volumes, "--clients", 2, "--count", 6)
        self.assertEqual(after["released"], 6, after)
        self.assert_whole(broker, granted=result["released"] + 6)

    def rewrap_slowly(self):
        """A broker with so many volumes under an old key, each of which takes a while to rewrap."""
        broker = self.broker()
        first = self.owner.new_volume(broker, name="v0")
        whole = broker.api("GET", f"/v1/volumes/{first}/export?secret=1")[1]
        for n in range(1, 96):
            whole.update(uuid=str(uuid.uuid4()), name=f"v{n}",
                         secret=base64.b64encode(os.urandom(32)).decode())
            self.assertEqual(broker.api("POST", "/v1/volumes", whole)[0], 201)
        broker.encroot("volume", "remove", "v95", "--yes")  # is there again while it runs
        new = self.folder / "new.kek"
        with open(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(os.urandom(32))
        broker.settings.update({"kek": f"file:{new}", "kek-old": broker.settings["kek"]})
        broker.write_conf()
        broker.stop()
        with contextlib.closing(sqlite3.connect(broker.folder / "broker.db")) as db:
            db.execute("CREATE TRIGGER slow AFTER UPDATE OF wrapped ON volume BEGIN SELECT count(*) FROM "
                       "(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 150000) "
                       "SELECT x FROM c); END")
        broker.start()
        return broker, whole

    def start_rewrap(self, broker):
        process = subprocess.Popen([ENCROOT, "vault", "rewrap", "--broker", f"unix:{broker.socket}"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        until("it runs", lambda: self.state_of(broker)["state"] == "running")
        return process

    def state_of(self, broker):
        status, state = broker.api("GET", "/v1/vault/rewrap")
        self.assertEqual(status, 200)
        return state

    def test_the_administration_answers_while_it_rewraps(self):
        broker, whole = self.rewrap_slowly()
        process = self.start_rewrap(broker)
        status, refused = broker.api("POST", "/v1/vault/rewrap", {})
        self.assertEqual((status, "already" in refused["error"]), (409, True), refused)
        self.assertEqual(broker.api("POST", "/v1/volumes", whole)[0], 201)
        self.assertEqual(broker.api("GET", "/v1/volumes/v95/export?secret=1")[1]["secret"],
                         whole["secret"])
        self.assertEqual(broker.api("GET", "/v1/audit/checkpoint")[0], 200)
        state = self.state_of(broker)
        self.assertEqual((state["state"], state["total"]), ("running", 95))
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, err)
        done = re.fullmatch(r"rewrapped 95, under the newest key already ([01]), failed 0\n", out)
        self.assertTrue(done, out)
        state = self.state_of(broker)
        self.assertEqual((state["state"], state["done"], state["already"]),
                         ("finished", 95, int(done[1])))
        self.assertLessEqual(state["begun"], state["ended"])
        told = [r for r in broker.audit() if r.get("action", "").startswith("vault.")]
        self.assertEqual([r["action"] for r in told], ["vault.rewrap", "vault.rewrapped"])
        self.assertEqual((told[0]["id"], {r["user"] for r in told}), (state["id"], {state["user"]}))

    def test_a_reload_stops_rewrapping_and_says_so(self):
        broker, _ = self.rewrap_slowly()
        process = self.start_rewrap(broker)
        generation = broker.metrics()["encroot_generation"]
        broker.process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=120)
        self.assertEqual((process.returncode, out), (1, ""), err)
        self.assertIn("not finished, as far as is known: the broker was reloaded", err)
        self.assertIn("what is done is passed over", err)
        until("the reload", lambda: broker.metrics()["encroot_generation"] > generation)
        self.assertEqual(self.state_of(broker)["state"], "idle")

        def stopped():
            return [r for r in broker.audit() if r.get("action") == "vault.stopped"]
        record = until("it stopped", stopped)[0]
        found = re.fullmatch(r"done (\d+), already 0, failed 0: the broker was reloaded or is ending",
                             record["detail"])
        self.assertTrue(found, record)
        already = int(found[1])
        self.assertLess(already, 95)
        again = broker.encroot("vault", "rewrap").stdout
        self.assertEqual(again, f"rewrapped {95 - already}, under the newest key already {already}, "
                                "failed 0\n")
        self.assertEqual(broker.audit()[-1]["action"], "vault.rewrapped")
        self.assert_whole(broker)

    def test_administration_over_mutual_tls(self):
        """Two roles by their certificates' keys; a stranger has none."""
        pins, port = {}, free_port()
        for name in ("server", "operator", "viewer", "stranger"):
            self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                         "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                         f"{name}.crt")
            public = self.openssl("x509", "-in", f"{name}.crt", "-noout", "-pubkey")
            lines = "".join(line for line in public.splitlines() if "-----" not in line)
            pins[name] = "sha256:" + hashlib.sha256(base64.b64decode(lines)).hexdigest()
        broker = self.broker(
            admin_listen=f"127.0.0.1:{port}", admin_key=self.folder / "server.key",
            admin_certificate=self.folder / "server.crt",
            admin_client=[f"admin {pins['operator']} alice", f"reader {pins['viewer']} bob"])
        volume = self.owner.new_volume(broker, name="web-1")

        def run(who, *words, status=0, pin="server"):
            return self.encroot(*words, "--broker", f"https://127.0.0.1:{port}", "--client-key",
                                f"{who}.key", "--client-certificate", f"{who}.crt", "--pin",
                                pins[pin], status=status).stdout

        self.assertIn(volume, run("viewer", "volume", "show", "web-1"))
        run("viewer", "volume", "disable", "web-1", status=REFUSED)
        run("stranger", "volume", "list", status=REFUSED)
        run("operator", "volume", "list", status=REFUSED, pin="stranger")  # another broker's key
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["released"], 1)
        run("operator", "volume", "disable", "web-1")
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["denied"], 1)
        self.assertIn("alice", broker.log())

    def test_into_a_token(self):
        """The vault moves into a PKCS#11 token, whose key nobody ever sees."""
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        configuration, pin = self.folder / "softhsm.conf", self.folder / "pin"
        (self.folder / "tokens").mkdir()
        configuration.write_text(f"directories.tokendir = {self.folder}/tokens\n"
                                 "log.level = ERROR\n")
        pin.write_text("1234\n")
        pin.chmod(0o600)
        broker.environment["SOFTHSM2_CONF"] = str(configuration)
        module = "/usr/lib/softhsm/libsofthsm2.so"
        for line in (["softhsm2-util", "--init-token", "--free", "--label", "encroot", "--pin",
                      "1234", "--so-pin", "5678"],
                     ["pkcs11-tool", "--module", module, "--token-label", "encroot", "--login",
                      "--pin", "1234", "--keygen", "--key-type", "AES:32", "--label", "vault",
                      "--id", "01"]):
            subprocess.run(line, check=True, env=broker.environment, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        broker.settings.update({
            "kek": f"pkcs11:token=encroot;object=vault;type=secret-key?pin-source=file:{pin}"
                   f"&module-path={module}",
            "kek-old": broker.settings["kek"]})
        broker.write_conf()
        broker.stop()
        broker.start()
        broker.encroot("vault", "rewrap")
        del broker.settings["kek-old"]
        broker.write_conf()
        broker.stop()
        broker.start()
        self.assertEqual(load([broker], [volume], "--clients", 4, "--count", 20)["released"], 20)
        self.assert_whole(broker, granted=20)

    def test_a_tampered_record_is_found(self):
        """K2, in the database itself."""
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        load([broker], [volume], "--clients", 1, "--count", 5)
        broker.encroot("audit", "checkpoint", "-o", "checkpoint.json")
        broker.encroot("audit", "verify", "--checkpoint", "checkpoint.json", "--certificate",
                       self.owner.keys / "broker.crt")
        broker.stop()
        database = broker.folder / "broker.db"
        whole = database.read_bytes()
        table = subprocess.run(["sqlite3", database, ".schema"], check=True, text=True,
                               stdout=subprocess.PIPE).stdout
        self.assertRegex(table, r"(?i)create table audit\b")
        for change in ("UPDATE audit SET text = CAST(replace(CAST(text AS TEXT), '\"granted\"', "
                       "'\"denied\"') AS BLOB) WHERE sequence = 3",
                       "DELETE FROM audit WHERE sequence = 3",
                       "UPDATE audit SET text = (SELECT text FROM audit WHERE sequence = 4) "
                       "WHERE sequence = 3",
                       "UPDATE audit SET hash = zeroblob(32) WHERE sequence = 6",
                       "DELETE FROM audit WHERE sequence > 3"):
            database.write_bytes(whole)
            for rest in broker.folder.glob("broker.db-*"):
                rest.unlink()
            subprocess.run(["sqlite3", database, f"PRAGMA foreign_keys=off; {change};"], check=True)
            broker.start()
            self.addCleanup(broker.end)
            done = broker.encroot("audit", "verify", "--checkpoint", "checkpoint.json",
                                  "--certificate", self.owner.keys / "broker.crt", status=REFUSED)
            self.assertRegex(done.stdout + done.stderr, r"record|checkpoint", change)
            broker.stop()


    def test_an_edited_column_is_found(self):
        """K2: what a rate limit counts is not in the chain."""
        broker = self.broker()
        volume = self.owner.new_volume(broker, "--rate", "2/3600")

        def sql(statement):
            subprocess.run(["sqlite3", "-cmd", ".timeout 60000", broker.folder / "broker.db",
                            statement], check=True)

        def ask():
            return load([broker], [volume], "--clients", 1, "--count", 3)["released"]

        self.assertEqual(ask(), 2)
        self.assert_columns_are_verified(broker, sql)
        sql("UPDATE audit SET granted = 0 WHERE sequence = 2")
        self.assertEqual(ask(), 1)  # one more than the limit has
        self.assertIn('record 2: the column "granted"',
                      broker.encroot("audit", "verify", status=REFUSED).stderr)


class Network(BrokerTest):
    """C8, and all that a hostile network sends."""

    def test_tls_12_and_other_protocols_are_refused(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        for arguments in ({"version": ssl.TLSVersion.TLSv1_2}, {"alpn": ("h2",)}, {"alpn": ()},
                          {"alpn": ("http/1.1",)}):
            with contextlib.suppress(OSError), connect(broker, **arguments) as s:
                # TLS 1.3: the server's refusal may come after the client's handshake.
                s.sendall((HEAD + "Content-Length: 2\r\n\r\n{}").encode())
                self.assertEqual(s.recv(100), b"", arguments)
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["released"], 1)

    def test_malformed_requests(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        wrong = {
            "": None, "\r\n\r\n": 400, "garbage\r\n\r\n": 400, "GET / HTTP/1.1\r\n\r\n": 404,
            "GET /v1/release HTTP/1.1\r\nHost: b\r\n\r\n": 405,
            "POST /v1/other HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n": 404,
            HEAD + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}": 400,
            HEAD + "Content-Length: 2, 2\r\n\r\n{}": 400,
            HEAD + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n": 400,
            HEAD + "Content-Length: -1\r\n\r\n": 400,
            HEAD + "Content-Length: 99999999999999999999999\r\n\r\n": 400,
            HEAD + "Content-Length: 999999999\r\n\r\n": 413,
            HEAD.replace("application/json", "text/plain") + "Content-Length: 2\r\n\r\n{}": 415,
            HEAD + "Content-Length: 2\r\n\r\n{}": 400,
            HEAD + "Content-Length: 4\r\n\r\n\0\xff[[": 400,
            "POST /v1/release HTTP/1.1\r\n" + "X: y\r\n" * 5000 + "\r\n": 431,
            "POST /v1/release HTTP/1.1\nHost: b\n\n": 400,
        }
        for text, status in wrong.items():
            got, body = ask(broker, text.encode("latin-1"))
            self.assertEqual(got, status, text[:200])
            if status:  # K4: code and id, nothing else
                self.assertEqual(set(json.loads(body)), {"code", "id"}, text[:200])
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 1)["released"], 1)
        records = self.assert_whole(broker, granted=1)
        # what was readable as a request of this protocol is on record
        self.assertEqual(len(records), 3)

    def test_a_flood_of_refusals_neither_fills_the_disk_nor_shuts_others_out(self):
        broker = self.broker(refusals_megabytes=1)
        volume = self.owner.new_volume(broker)
        unknown = "00000000-0000-4000-8000-000000000001"
        result = load([broker], [unknown], "--clients", 4, "--count", 300, "--patience", 0)
        self.assertEqual(result["denied"] + result["unavailable"], 300, result)
        self.assertGreater(result["unavailable"], 0)
        self.assertGreater(result["denied"], 0)
        self.assertEqual(broker.metrics()["encroot_shed_total"], result["unavailable"])
        self.assertIn("refusals-megabytes", broker.log())
        self.assertEqual(load([broker], [volume], "--clients", 1, "--count", 4)["released"], 4)
        records = self.assert_whole(broker, granted=4)
        self.assertEqual(len(records), result["denied"] + 4)
        self.assertLess(sum(len(json.dumps(r)) for r in records), (1 << 20) // 8)

    def test_slow_clients_do_not_hold_up_others(self):
        broker = self.broker(handshake_seconds=3, request_seconds=6)
        volume = self.owner.new_volume(broker)
        held = []
        for i in range(300):
            s = socket.create_connection(("127.0.0.1", broker.port), 30)
            self.addCleanup(s.close)
            if i % 3 == 0:
                s.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a handshake
            if i % 3 == 1:
                with contextlib.suppress(OSError):
                    s = tls().wrap_socket(s)
                    s.sendall(HEAD.encode())  # of a head that never ends
            s.settimeout(0)
            held.append(s)
        before = time.monotonic()
        result = load([broker], [volume], "--clients", 4, "--count", 40)
        self.assertEqual((result["released"], result["attempts"]), (40, 40))
        dripping = [s for s in held if isinstance(s, ssl.SSLSocket)]
        self.assertTrue(dripping)

        def closed(s):
            try:
                s.sendall(b"x")  # alive, byte by byte: no reason for more time
                return s.recv(4096) == b""
            except (ssl.SSLWantReadError, BlockingIOError):
                return False
            except OSError:
                return True
        until("slow clients are gone", lambda: all([closed(s) for s in dripping]), 60, 0.5)
        self.assertGreater(broker.metrics()["encroot_timeouts_total"], 0)
        self.assertLess(time.monotonic() - before, 120)

    def test_ten_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 12000:
            self.skipTest(f"only {hard} descriptors are allowed here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        broker = self.broker(handshake_seconds=120, request_seconds=120, max_connections=12000)
        volume = self.owner.new_volume(broker)
        before = broker.resident()
        running = load([broker], [volume], "--clients", 4, "--seconds", 600, "--idle", 10000,
                       wait=False)
        until("all of them", lambda: broker.metrics()["encroot_connections_total"] > 10050, 60)
        during = broker.resident()
        result = finish(running)
        self.assertGreater(result["released"], 0)
        self.assertEqual((result["attempts"], result["idle_open"]), (result["released"], 10000))
        self.assertLess(during - before, 200 << 20)

    def test_more_connections_than_allowed(self):
        broker = self.broker(max_connections=64)
        volume = self.owner.new_volume(broker)
        held = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(200)]
        until("some are shed", lambda: broker.metrics()["encroot_connections_shed_total"] > 0)
        for s in held:
            s.close()
        result = load([broker], [volume], "--clients", 2, "--count", 10)
        self.assertEqual(result["released"], 10)

    def test_no_descriptors_left(self):
        """More connections than the processes may have descriptors: nobody spins, and others are
        served when they are gone."""
        broker = Broker(self.owner, prefix=("prlimit", "--nofile=512:512"), workers=1).start()
        volume = self.owner.new_volume(broker)
        held = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(800)]
        before = cpu_ticks(broker)
        time.sleep(2)
        self.assertLess(cpu_ticks(broker) - before, os.sysconf("SC_CLK_TCK"), "it spins")
        for s in held:
            s.close()
        result = load([broker], [volume], "--clients", 2, "--count", 10)
        self.assertEqual(result["released"], 10)
        self.assertEqual(broker.metrics()["encroot_restarts_total"], 0)


def cpu_ticks(broker):
    ticks = 0
    for pid in broker.children():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks


class Faults(BrokerTest):
    def test_killed_keepers_leave_no_unrecorded_release(self):
        """K1: whenever it is killed, each secret that a guest has is on record."""
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        running = load([broker], [volume], "--clients", 8, "--seconds", 600, "--patience", 120,
                       wait=False)
        before = 0
        for _ in range(6):
            until("secrets leave", lambda: broker.released() > before)
            for keeper in broker.children("keeper"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(keeper, signal.SIGKILL)
            before = broker.released()
        result = finish(running)
        self.assertGreaterEqual(result["released"], 6)
        self.assertEqual((result["denied"], result["failed"], result["unavailable"]), (0, 0, 0))
        broker.wait_ready()
        granted = sum(r["verdict"] == "granted" for r in self.assert_whole(broker))
        self.assertGreaterEqual(granted, result["released"])

    def test_any_process_may_die(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        for role in ("front", "appraiser", "gate", "admin", "monitor", "keeper"):
            pid = broker.child(role)
            os.kill(pid, signal.SIGKILL)
            until(f"a new {role}", lambda: pid not in broker.children())
            broker.wait_ready()
            result = load([broker], [volume], "--clients", 2, "--count", 4)
            self.assertEqual(result["released"], 4, role)

    def test_disk_full(self):
        folder = self.folder / "small"
        folder.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder],
                                 stderr=subprocess.DEVNULL).returncode == 0
        if not mounted:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", folder])
        broker = Broker(self.owner, store=f"sqlite:{folder / 'broker.db'}").start()
        volume = self.owner.new_volume(broker)
        released = load([broker], [volume], "--clients", 2, "--count", 4)["released"]
        self.assertEqual(released, 4)
        ballast = folder / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        # what still fits into the journal's file may be released; then nothing
        until("it is full", lambda: load([broker], [volume], "--clients", 2, "--count", 20,
                                         "--patience", 0)["unavailable"] == 20, 120)
        records = broker.metrics()["encroot_released_total"]
        # it can be read, and is looked at by itself: that makes no healthy broker of it
        errors = broker.metrics()["encroot_store_errors_total"]
        until("another look", lambda: broker.metrics()["encroot_store_errors_total"] > errors
              or broker.monitor("/healthz")[0] == 200)
        self.assertEqual(broker.monitor("/healthz")[0], 503)
        ballast.unlink()
        broker.wait_ready()
        self.assertEqual(load([broker], [volume], "--clients", 2, "--count", 4)["released"], 4)
        self.assert_whole(broker, granted=int(records) + 4)

    @unittest.skipIf(SANITIZED, "libfaketime and the sanitizers' library both have to be first")
    def test_the_clock_jumps_by_days(self):
        """By two, so that midnight on the way makes no two days one."""
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        for offset in (None, "+2d", "-2d"):
            if offset:
                broker.stop()
                broker.environment.update({"LD_PRELOAD": faketime(self), "FAKETIME": offset})
                broker.start()
            self.assertEqual(load([broker], [volume], "--clients", 2, "--count", 3)["released"], 3)
        records = self.assert_whole(broker, granted=9)
        days = [r["time"][:10] for r in records]
        self.assertGreaterEqual(len(set(days)), 3, days)

    def test_reload_drops_nobody(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        running = load([broker], [volume], "--clients", 4, "--seconds", 600, wait=False)
        for _ in range(3):
            broker.reload()
            before = broker.released()
            until("it serves", lambda: broker.released() > before + 10)
        result = finish(running)
        self.assertEqual(result["attempts"], result["released"], result)
        self.assert_whole(broker, granted=result["released"])

    def test_a_bad_reload_changes_nothing(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        broker.conf.write_text("no-such-key = 1\n")
        broker.process.send_signal(signal.SIGHUP)
        until("it says so", lambda: "no-such-key" in broker.log())
        self.assertEqual(load([broker], [volume], "--clients", 2, "--count", 3)["released"], 3)

    def test_graceful_stop(self):
        broker = self.broker()
        volume = self.owner.new_volume(broker)
        running = load([broker], [volume], "--clients", 4, "--seconds", 600, "--patience", 0,
                       wait=False)
        until("it works", lambda: broker.released() > 3)
        self.assertEqual(broker.stop(), 0)
        result = finish(running)
        broker.start()
        # whoever had been accepted was answered: each release that is on record arrived
        self.assert_whole(broker, granted=result["released"])

    def test_secrets_stay_in(self):
        """K5: no core dumps, no reading of memory, nothing in arguments or environment."""
        broker = self.broker()
        self.owner.new_volume(broker)
        kek = (self.owner.keys / "vault.kek").read_bytes()
        for pid in [*broker.children(), broker.process.pid]:
            status = Path(f"/proc/{pid}/status").read_text()
            self.assertRegex(status, r"NoNewPrivs:\s+1", pid)
            limits = Path(f"/proc/{pid}/limits").read_text()
            self.assertRegex(limits, r"Max core file size\s+0\s+0", pid)
            for name in ("cmdline", "environ"):
                with contextlib.suppress(PermissionError):
                    content = Path(f"/proc/{pid}/{name}").read_bytes()
                    self.assertNotIn(kek, content)
                    self.assert_no_secret(content)
            if pid != broker.process.pid:
                self.assertRegex(status, r"Seccomp:\s+2", broker.children().get(pid))

    @unittest.skipIf(SANITIZED, "terabytes of memory")
    @unittest.skipUnless(os.getuid() == 0, "only root reads the memory of other processes")
    def test_the_password_of_the_database_is_not_in_a_front(self):
        """K5: nor in anything else that has no business with the database."""
        words = [os.urandom(12).hex() for _ in range(3)]
        broker = Broker(self.owner, environment={"PGPASSWORD": words[0]},
                        store=f"postgresql://u:{words[1]}@127.0.0.1:{free_port()}/encroot")
        broker.conf.write_text(f"# store = postgresql://u:{words[2]}@db/encroot\n"
                               + broker.conf.read_text())
        broker.start(wait=False)
        until("it serves", lambda: "generation 1 serves" in broker.log())
        knows = {role: any(word.encode() in memory(pid) for pid in broker.children(role)
                           for word in words)
                 for role in ("keeper", "gate", "front", "appraiser", "monitor")}
        self.assertEqual([role for role, yes in knows.items() if yes], ["keeper"])


def memory(pid):
    """All that a process can read of its own."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", 0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end = (int(n, 16) for n in line.split()[0].split("-"))
            with contextlib.suppress(OSError, OverflowError, ValueError):
                file.seek(begin)
                found.append(file.read(end - begin))
    return b"\0".join(found)


def faketime(test):
    for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1"):
        return str(path)
    test.skipTest("libfaketime is not installed")


if __name__ == "__main__":
    unittest.main()
