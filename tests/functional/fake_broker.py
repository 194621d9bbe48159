"""A broker's administration as tests need it: the interface of encrootd over a UNIX socket or mutual
TLS, without any appraisal, store or secret behind it. It records what it is asked, and misbehaves
where a test says how."""

import base64
import copy
import datetime
import http.server
import json
import re
import socketserver
import ssl
import threading
import urllib.parse

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SETTINGS = {"name": str, "enabled": bool, "approval": str, "rate": (dict, type(None)),
            "not_before": (str, type(None)), "not_after": (str, type(None))}


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Refusal(Exception):
    def __init__(self, status, error, hint=None):
        super().__init__(error)
        self.status, self.answer = status, {"error": error, **({"hint": hint} if hint else {})}


class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads, request_queue_size = True, 64


class Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads, allow_reuse_address = True, True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()  # in its own thread
        super().setup()

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass

    def handle_any(self):
        broker = self.server.broker
        size = int(self.headers.get("Content-Length", 0))
        raw = broker.misbehaviour(self.command, self.path)
        if raw is not None and not callable(raw):
            self.rfile.read(size)
            self.wfile.write(raw)
            self.close_connection = True
            return
        if raw is not None:  # with the request unread
            raw(self)
            self.close_connection = True
            return
        body = self.rfile.read(size)
        broker.asked.append((self.command, self.path, dict(self.headers), body))
        try:
            status, kind, answer = broker.answer(self.command, self.path, self.headers, body)
        except Refusal as refusal:
            status, kind, answer = refusal.status, "application/json", refusal.answer
        self.send_response(status)
        if status != 204:
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        self.end_headers()
        if status != 204:
            self.wfile.write(text)
        broker.answered(self.command, self.path)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class FakeBroker:
    def __init__(self, socket_path=None, tls=None, role="admin"):
        """`tls`: an ssl.SSLContext of the server."""
        self.role, self.volumes, self.requests, self.records, self.evidence = role, {}, {}, [], {}
        self.asked, self.checkpoint = [], None
        # of a rewrap: what each look at it changes before it is answered
        self.task, self.looks = {"state": "idle", "id": None}, [{"state": "finished"}]
        self.edited = {}  # columns beside records: {index: {column: value}}
        self.misbehaviour = lambda method, path: None
        self.answered = lambda method, path: None
        if tls:
            self.server = Tcp(("127.0.0.1", 0), Handler)
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
            self.address = f"https://127.0.0.1:{self.server.server_address[1]}"
        else:
            self.server = Unix(str(socket_path), Handler)
            self.address = f"unix:{socket_path}"
        self.server.broker = self
        self.server.handle_error = lambda *_: None
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": .05})
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # ---- the interface ----
    ROUTES = [
        ("GET", "/v1/status", "status"), ("GET", "/v1/volumes", "list"),
        ("POST", "/v1/volumes", "add"), ("GET", "/v1/volumes/([^/]+)", "show"),
        ("PATCH", "/v1/volumes/([^/]+)", "set"), ("DELETE", "/v1/volumes/([^/]+)", "remove"),
        ("POST", "/v1/volumes/([^/]+)/seal", "seal"),
        ("GET", "/v1/volumes/([^/]+)/policy", "policy"),
        ("PUT", "/v1/volumes/([^/]+)/policy", "set_policy"),
        ("POST", "/v1/volumes/([^/]+)/values", "add_values"),
        ("GET", "/v1/volumes/([^/]+)/values/(\\d+)", "values"),
        ("PATCH", "/v1/volumes/([^/]+)/values/(\\d+)", "set_values"),
        ("GET", "/v1/volumes/([^/]+)/export", "export"), ("GET", "/v1/requests", "request_list"),
        ("POST", "/v1/requests/([^/]+)/(approve|deny)", "decide"),
        ("GET", "/v1/audit", "audit"), ("GET", "/v1/audit/checkpoint", "checkpoint"),
        ("GET", "/v1/audit/([^/]+)", "record"), ("POST", "/v1/vault/rewrap", "rewrap"),
        ("GET", "/v1/vault/rewrap", "look"),
    ]

    def answer(self, method, target, headers, body):
        path, _, query = target.partition("?")
        query = {k: v[0] for k, v in urllib.parse.parse_qs(query).items()}
        if method != "GET":
            if headers.get("X-Encroot-Admin") != "1" or \
                    headers.get("Content-Type") != "application/json":
                raise Refusal(403, "X-Encroot-Admin and Content-Type are missing")
        if self.role != "admin" and (method != "GET" or "secret" in query):
            raise Refusal(403, "this needs the role admin", "admin-group names who has it")
        for wanted, pattern, name in self.ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == wanted:
                try:
                    data = json.loads(body) if body else None
                except ValueError as e:
                    raise Refusal(400, "not JSON") from e
                words = [urllib.parse.unquote(w) for w in found.groups()]
                result = getattr(self, f"do_{name}")(*words, query=query, data=data)
                return result if isinstance(result, tuple) else (200, "application/json", result)
        raise Refusal(404, "there is no such page")

    def find(self, ref):
        for v in self.volumes.values():
            if ref in (v["uuid"], v["name"]):
                return v
        raise Refusal(404, f"there is no volume {ref}")

    @staticmethod
    def view(v):
        out = {k: v[k] for k in ("uuid", "name", "enabled", "approval", "rate", "not_before",
                                 "not_after", "revision", "created", "changed")}
        out["sealed"] = v.get("sealed", True)
        out["values"] = [{k: x[k] for k in ("version", "valid", "created", "label")}
                         for x in v["values"]]
        return out

    def do_status(self, query, data):
        found = re.search(rb'"hash":"(\w+)"', self.records[-1]) if self.records else None
        return {"broker": "test", "version": "0", "generation": 1, "role": self.role, "user": "me",
                "store": {"kind": "sqlite", "up": True},
                "audit": {"sequence": len(self.records),
                          "hash": found[1].decode() if found else "0" * 64},
                "volumes": len(self.volumes), "pending": 0}

    def do_list(self, query, data):
        names = sorted((v["name"], v["uuid"]) for v in self.volumes.values())
        names = [n for n in names if n[0] > query.get("after", "")]
        limit = min(int(query.get("limit", 100)), getattr(self, "page", 500))
        return {"volumes": [self.view(self.volumes[u]) for _, u in names[:limit]],
                "more": len(names) > limit}

    def check_policy(self, policy):
        if not isinstance(policy, dict) or policy.get("version") != 1:
            raise Refusal(400, "policy: \"version\": expected 1")
        trust = policy.get("trust", {})
        for text in trust.get("certificates", []) + trust.get("revocation_lists", []):
            if not text.startswith("-----BEGIN "):
                raise Refusal(400, f"policy: trust: {text}: this policy cannot name files")
        if any(not isinstance(b, dict) for b in policy.get("boot", [])):
            raise Refusal(400, "policy: boot: this policy cannot name files")

    def check_settings(self, data, uuid=None):
        for key, kind in SETTINGS.items():
            if key in data and not isinstance(data[key], kind):
                raise Refusal(400, f"\"{key}\" is of the wrong type")
        if "name" in data and not NAME.fullmatch(data["name"]):
            raise Refusal(400, "\"name\": expected letters, digits, '.', '_', '-'")
        if data.get("approval", "auto") not in ("auto", "manual"):
            raise Refusal(400, "\"approval\": expected auto or manual")
        if any(data.get("name") == v["name"] and v["uuid"] != uuid for v in self.volumes.values()):
            raise Refusal(409, f"there is a volume {data['name']} already")

    def do_add(self, query, data):
        known = {"version", "uuid", "secret", "policy", "values", "revision", "created", "changed",
                 *SETTINGS}
        if set(data) - known:
            raise Refusal(400, f"unknown member {sorted(set(data) - known)[0]}")
        if len(base64.b64decode(data["secret"], validate=True)) != 32:
            raise Refusal(400, "\"secret\": expected 32 bytes in base64")
        if data["uuid"] in self.volumes:
            raise Refusal(409, f"there is a volume {data['uuid']} already")
        self.check_settings(data)
        self.check_policy(data["policy"])
        v = {"name": data["uuid"], "enabled": True, "approval": "auto", "rate": None,
             "not_before": None, "not_after": None, **data, "revision": 1, "created": now(),
             "changed": now()}
        v["values"] = [{"version": n, "valid": x.get("valid", True), "created": now(),
                        "label": x["label"], "text": x["text"]}
                       for n, x in enumerate(data.get("values", []), 1)]
        self.volumes[v["uuid"]] = v
        return 201, "application/json", self.view(v)

    def do_show(self, ref, query, data):
        return self.view(self.find(ref))

    def do_set(self, ref, query, data):
        v = self.find(ref)
        if set(data) - set(SETTINGS):
            raise Refusal(400, "unknown member")
        self.check_settings(data, v["uuid"])
        v.update(data, changed=now())
        return self.view(v)

    def do_seal(self, ref, query, data):
        v = self.find(ref)
        v.pop("sealed", None)
        self.changed(v)
        return self.view(v)

    def do_remove(self, ref, query, data):
        del self.volumes[self.find(ref)["uuid"]]
        return 204, None, None

    def effective(self, v):
        policy = copy.deepcopy(v["policy"])
        policy["volume"] = v["uuid"]
        policy["boot"] = policy.get("boot", []) + [x["text"] for x in v["values"] if x["valid"]]
        return policy

    def do_policy(self, ref, query, data):
        v = self.find(ref)
        return {"revision": v["revision"], "sealed": v.get("sealed", True), "policy": v["policy"], "effective": self.effective(v)}

    def changed(self, v):
        v["revision"] += 1
        v["changed"] = now()

    def do_set_policy(self, ref, query, data):
        v = self.find(ref)
        self.check_policy(data["policy"])
        if "revision" in data and data["revision"] != v["revision"]:
            raise Refusal(409, f"the policy is at revision {v['revision']}",
                          "fetch it, and make your change again")
        v["policy"] = data["policy"]
        self.changed(v)
        return self.view(v)

    def do_add_values(self, ref, query, data):
        v = self.find(ref)
        v["values"].append({"version": len(v["values"]) + 1, "valid": True, "created": now(),
                            "label": data["label"], "text": data["text"]})
        self.changed(v)
        return 201, "application/json", {"version": len(v["values"])}

    def version(self, ref, number):
        v = self.find(ref)
        if not 0 < int(number) <= len(v["values"]):
            raise Refusal(404, f"{ref}: there is no version {number}")
        return v, v["values"][int(number) - 1]

    def do_values(self, ref, number, query, data):
        v, x = self.version(ref, number)
        return {**x, "sealed": v.get("sealed", True)}

    def do_set_values(self, ref, number, query, data):
        v, x = self.version(ref, number)
        x["valid"] = data["valid"]
        self.changed(v)
        return {k: x[k] for k in ("version", "valid", "created", "label")}

    def do_export(self, ref, query, data):
        v = self.find(ref)
        return {"version": 1, **{k: x for k, x in v.items() if k != "secret" or "secret" in query}}

    def do_request_list(self, query, data):
        return {"requests": [q for q in self.requests.values()
                             if q["state"] == "pending" or "all" in query]}

    def do_decide(self, ident, verb, query, data):
        if ident not in self.requests:
            raise Refusal(404, f"there is no request {ident}")
        q = self.requests[ident]
        if q["state"] != "pending":
            raise Refusal(409, f"{ident}: is {q['state']} already")
        q.update(state={"approve": "approved", "deny": "denied"}[verb], decided_by="me")
        return q

    def do_audit(self, query, data):
        after, limit = int(query.get("after", 0)), int(query.get("limit", 100))
        limit = min(limit, getattr(self, "page", 500))
        lines = [line for n, record in enumerate(self.records[after:after + limit], after)
                 for line in ([self.columns(n)] if "columns" in query else []) + [record]]
        return 200, "application/x-ndjson", b"".join(line + b"\n" for line in lines)

    def columns(self, n):
        """Beside record n: what it says itself, but for what a test has edited."""
        try:
            r = json.loads(self.records[n])
        except ValueError:
            return b"{}"
        time = datetime.datetime.strptime(r["time"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
        return json.dumps({**{key: r[key] for key in ("sequence", "hash", "id", "volume")},
                           "time": int(time), "granted": int(r["verdict"] == "granted"),
                           **self.edited.get(n, {})}).encode()

    def do_record(self, ident, query, data):
        for line in self.records:
            if json.loads(line)["id"] == ident:
                return {"record": json.loads(line), "evidence": self.evidence.get(ident)}
        raise Refusal(404, f"there is no decision {ident}")

    def do_checkpoint(self, query, data):
        if not self.checkpoint:
            raise Refusal(503, "nothing to sign with")
        return self.checkpoint

    def do_rewrap(self, query, data):
        if self.task["state"] == "running":
            raise Refusal(409, "it runs already", "watch it")
        self.begin_rewrap("me")
        return 202, "application/json", dict(self.task)

    def begin_rewrap(self, user):
        self.task = {"state": "running", "id": f"{len(self.asked):032x}", "user": user, "begun": now(),
                     "ended": None, "total": len(self.volumes), "done": 0, "already": 0, "failed": 0,
                     "error": None, "hint": None}

    def do_look(self, query, data):
        self.task.update(self.looks.pop(0) if self.looks else {})
        return dict(self.task)
