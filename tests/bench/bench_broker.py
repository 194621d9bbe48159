"""Figures of encrootd: releases a second, CPU time a release, latency, memory; tang as a peer."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "functional"), str(TESTS)]
from broker import Broker, Owner, figures, load, until  # noqa: E402
from postgres import PostgresServer  # noqa: E402
from program import ENCROOT  # noqa: E402

RUNS = 7
CLIENTS = 16
SECONDS = 3  # of one run: many short ones, as the machine may be busy with other things
IDLE = 10000
TANG = pathlib.Path("/usr/libexec/tangd")
# Evidence by its keys: as encroot-load calls it, and where openssl speed has its verifications.
KINDS = {"P-521": ("p521", r"(?m)^\+F4:\d+:521:[\d.]+:([\d.]+)"),
         "RSA-4096": ("rsa", r"(?m)^\+F2:\d+:4096:[\d.]+:([\d.]+)")}


class Bench:
    """What brokers and guests of the tests' harness need, without a test."""

    def __init__(self, folder):
        self.folder = folder
        self.ends = contextlib.ExitStack()

    def encroot(self, *words, **_):
        return subprocess.run([str(w) for w in (ENCROOT, *words)], cwd=self.folder, check=True,
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def addCleanup(self, call, *arguments):
        self.ends.callback(call, *arguments)


def cpu_seconds(broker):
    """{role: user and system time of its processes, so far}"""
    seconds = {}
    for pid, title in {**broker.children(), broker.process.pid: "- - supervisor"}.items():
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks = int(fields[11]) + int(fields[12])
            role = title.split()[2]
            seconds[role] = seconds.get(role, 0) + ticks / os.sysconf("SC_CLK_TCK")
    return seconds


def measure(broker, volume, *options):
    before = cpu_seconds(broker)
    result = load([broker], [volume], "--clients", CLIENTS, "--seconds", SECONDS, *options)
    if result["attempts"] != result["released"]:
        raise SystemExit(f"bench: not every request was released: {result}")
    result["roles"] = {role: (seconds - before[role]) / result["released"]
                       for role, seconds in cpu_seconds(broker).items()}
    result["cpu"] = sum(result["roles"].values())
    return result


def bare_seconds():
    """{kind: the cryptography that one release cannot do without}: signing the handshake with P-256,
    a key pair and a secret on X25519, and the two signatures of the token. CPU time, with all cores
    busy, as brokers and guests keep them (openssl's own -multi goes by the clock on the wall)."""
    line = ["openssl", "speed", "-mr", "-seconds", "1", "ecdsap256", "ecdsap521", "ecdhx25519",
            "rsa4096"]
    processes = [subprocess.Popen(line, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) for _ in range(os.cpu_count())]
    texts = [p.communicate()[0] for p in processes]
    if any(p.returncode for p in processes):
        raise SystemExit(f"bench: {' '.join(line)} failed")
    return {kind: statistics.mean(bare_of(text, verify) for text in texts)
            for kind, (_, verify) in KINDS.items()}


def bare_of(text, verify):
    sign = float(re.search(r"(?m)^\+F4:\d+:256:([\d.]+):", text)[1])
    exchange = float(re.search(r"(?m)^\+F5:\d+:253:([\d.]+):", text)[1])
    return 1 / sign + 2 / exchange + 2 / float(re.search(verify, text)[1])


# ---------------------------------------------------------------- tang

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def tang(folder):
    """Debian's tangd, one process a connection as its socket unit starts it; yields a wrk command
    that recovers a key over a new connection each time."""
    keys, port = folder / "tang", free_port()
    keys.mkdir()
    subprocess.run([TANG.with_name("tangd-keygen"), keys], check=True)

    def jose(*words, **kwargs):
        return subprocess.run(["jose", *map(str, words)], check=True, text=True,
                              stdout=subprocess.PIPE, **kwargs).stdout
    exchange = next(k for k in keys.glob("*.jwk") if json.loads(k.read_text())["alg"] == "ECMR")
    body = jose("jwk", "pub", "-i-", input=jose("jwk", "gen", "-i", '{"alg":"ECMR"}'))
    script = folder / "tang.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [[{body}]]\n"
                      "wrk.headers['Content-Type'] = 'application/jwk+json'\n"
                      "wrk.headers['Connection'] = 'close'\n")
    server = subprocess.Popen(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,"
                               "backlog=512", f"EXEC:{TANG} {keys}"], stderr=subprocess.DEVNULL,
                              start_new_session=True)
    try:
        until("tangd listens", lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
        yield ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "-s", script,
               f"http://127.0.0.1:{port}/rec/{jose('jwk', 'thp', '-i', exchange)}"]
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def tang_rate(command):
    text = subprocess.run([str(w) for w in command], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    if "Non-2xx" in text:
        raise SystemExit(f"bench: tangd refused:\n{text}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


# ---------------------------------------------------------------- all of it

def report(note, verdict, name, kind, runs, base):
    cpu = statistics.median(r["cpu"] for r in runs)
    rate = statistics.median(r["released_per_second"] for r in runs)
    roles = {role: statistics.median(r["roles"][role] for r in runs) for role in runs[0]["roles"]}
    ratio = cpu / base
    aim = f" (aim: at most 1.4: {verdict(ratio <= 1.4)})" if kind == "P-521" else ""
    note(f"broker {name} {kind}", {"releases": rate, "cpu": cpu, "ratio": ratio, "roles": roles},
         f"{name:11} {rate:6.0f} releases a second of {kind} with {CLIENTS} guests at once; broker's "
         f"CPU {cpu * 1e6:.0f} µs a release; bare cryptography {base * 1e6:.0f} µs; ratio "
         f"{ratio:.2f}{aim}")
    print(f"{'':14}" + ", ".join(f"{role} {seconds * 1e6:.0f} µs" for role, seconds in
                                 sorted(roles.items(), key=lambda r: -r[1]) if seconds >= 1e-6))
    return rate


def throughput(note, verdict, brokers, volumes, peer):
    """Of RSA there is little to verify: what a release costs besides stands bare. Its guests, which
    sign, keep the cores busy."""
    contests = [(name, "P-521") for name in brokers] + [("SQLite", "RSA-4096")]
    samples = {contest: [] for contest in contests}
    bare, tangs = [], []
    for _ in range(RUNS):
        for name, kind in contests:
            samples[name, kind].append(measure(brokers[name], volumes[name], "--kind",
                                               KINDS[kind][0]))
        bare.append(bare_seconds())
        tangs.append(tang_rate(peer))
    rates = {}
    for (name, kind), runs in samples.items():
        rate = report(note, verdict, name, kind, runs, statistics.median(b[kind] for b in bare))
        rates.setdefault(name, rate)
    other = statistics.median(tangs)
    note("tang", other, f"tang        {other:6.0f} recoveries a second, {CLIENTS} clients at once "
         f"(no TLS, no evidence, no record); ours with SQLite / tang: {rates['SQLite'] / other:.2f}")
    return rates


def latency(note, brokers, volumes, rates):
    for name, broker in brokers.items():
        for share in 0.5, 0.8:
            r = measure(broker, volumes[name], "--rate", max(1, round(rates[name] * share)))
            note(f"latency {name} {share}", {"p50": r["p50_ms"], "p99": r["p99_ms"]},
                 f"{name:11} at {share:.0%} of capacity: p50 {r['p50_ms']:.1f} ms, p99 "
                 f"{r['p99_ms']:.1f} ms")


def memory(note, broker, volume, idle):
    running = load([broker], [volume], "--clients", CLIENTS, "--seconds", SECONDS, wait=False)
    time.sleep(SECONDS / 2)
    loaded = broker.resident()
    figures(running)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seen = broker.metrics()["encroot_connections_total"]
    running = load([broker], [volume], "--clients", 1, "--seconds", SECONDS, "--idle", IDLE,
                   wait=False)
    until("all are connected",
          lambda: broker.metrics()["encroot_connections_total"] > seen + IDLE, 120)
    crowded = broker.resident()
    figures(running)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for name, size in (("idle", idle), ("under load", loaded), (f"{IDLE:,} idle connections",
                                                               crowded)):
        note(f"broker memory {name}", size, f"memory of all processes, {name}: {size / 2**20:.1f} "
             f"MiB, {size / idle:.2f} of idle")


def bench(note, verdict):
    print(f"broker: complete releases (handshake, appraisal, durable record, secret), guests on the "
          f"same {os.cpu_count()} cores, medians of {RUNS}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="encroot-bench-"))
    b = Bench(folder)
    with b.ends:
        b.addCleanup(shutil.rmtree, folder)
        server = PostgresServer()
        b.addCleanup(server.remove)
        owner = Owner(b, [kind for kind, _ in KINDS.values()])
        settings = {"log_level": "warning", "max_connections": 12000, "handshake_seconds": 120,
                    "request_seconds": 300}
        brokers = {"SQLite": Broker(owner, "a", **settings).start(),
                   "PostgreSQL": Broker(owner, "b", store=server.url, **settings).start()}
        volumes = {name: owner.new_volume(broker) for name, broker in brokers.items()}
        idle = brokers["SQLite"].resident()
        peer = b.ends.enter_context(tang(folder))
        rates = throughput(note, verdict, brokers, volumes, peer)
        latency(note, brokers, volumes, rates)
        memory(note, brokers["SQLite"], volumes["SQLite"], idle)
