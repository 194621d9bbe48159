/*
 * The status page over the interface of encrootd-admin(7). Names, reasons and addresses come
 * from guests and are shown as text only: nothing here makes markup of data. Rows are kept and
 * changed in place, so that focus, opened details and the place of reading stay over a refresh.
 */
"use strict";

(() => {
  const INTERVAL = 4000;
  const TIMEOUT = 10000;
  const DECISIONS = 40;
  const PAGE = 50;
  const LOOKED_BACK = 20; /* records of a volume, for its last release */

  /* What the checks that a volume's own settings make are called for people. */
  const REASONS = {
    "volume.seal": "changed in the database, past the broker",
    "volume.known": "the broker has no such volume",
    "volume.enabled": "the volume is disabled",
    "volume.window": "outside of the volume's validity",
    "volume.rate": "too many releases in a short time",
    "volume.approval": "denied by an operator",
  };
  const CHANGES = {
    "volume.add": "registered",
    "volume.set": "settings changed",
    "volume.remove": "removed",
    "volume.seal": "taken over as it was in the database",
    "secret.export": "exported with its secret",
    "policy.set": "policy changed",
    "values.add": "reference values added",
    "values.enable": "reference values made valid",
    "values.disable": "reference values withdrawn",
    "request.approve": "request approved",
    "request.deny": "request denied",
    "vault.rewrap": "wrapping secrets anew",
    "vault.rewrapped": "secrets wrapped anew",
    "vault.stopped": "stopped wrapping secrets anew",
  };
  /* One check says both that an operator is waited for and that one has denied. */
  const isHeld = (f) => f && f.check === "volume.approval" && /waits for one$/.test(f.found);

  const $ = (id) => document.getElementById(id);
  const state = {
    role: "reader", names: new Map(), last: new Map(), lastAt: new Map(), older: new Set(), seen: null,
    pages: 1, reached: null, decisions: [],
  };

  /* ---- building ---- */
  function make(tag, attributes = {}, ...children) {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) {
      if (k === "onclick") e.addEventListener("click", v);
      else if (v !== null && v !== undefined) e.setAttribute(k, v);
    }
    e.append(...children.filter((c) => c !== null && c !== undefined));
    return e;
  }

  function setText(e, text) {
    const t = text === null || text === undefined ? "" : String(text);
    if (e.textContent !== t) e.textContent = t;
  }

  /* Bring the children of `parent` into the order of `items`, reusing those of the same key. */
  function reconcile(parent, items, key, create, update, heading) {
    const have = new Map([...parent.children].map((e) => [e.dataset.key, e]));
    const focused = document.activeElement;
    const keep = new Set();
    let before = parent.firstElementChild;
    for (const item of items) {
      const k = String(key(item));
      let e = have.get(k);
      if (!e) {
        e = create(item);
        e.dataset.key = k;
      }
      update(e, item);
      keep.add(e);
      if (e.companion) keep.add(e.companion);
      if (e === before) before = before.nextElementSibling;
      else parent.insertBefore(e, before);
      if (e.companion) {
        if (e.companion === before) before = before.nextElementSibling;
        else parent.insertBefore(e.companion, before);
      }
    }
    for (const e of [...parent.children]) if (!keep.has(e)) e.remove();
    if (focused !== document.activeElement && focused && focused !== document.body) {
      if (focused.isConnected) focused.focus({ preventScroll: true });
      else heading.focus({ preventScroll: true });
    }
  }

  /* ---- times ---- */
  const STEPS = [[60, 1, "second"], [3600, 60, "minute"], [86400, 3600, "hour"],
                 [Infinity, 86400, "day"]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

  function showTime(e, iso) {
    if (!iso) {
      e.removeAttribute("datetime");
      setText(e, "");
      return;
    }
    const date = new Date(iso);
    const seconds = Math.round((date - Date.now()) / 1000);
    const [, size, unit] = STEPS.find(([limit]) => Math.abs(seconds) < limit);
    e.setAttribute("datetime", iso);
    e.title = date.toLocaleString();
    setText(e, Math.abs(seconds) < 5 ? "just now" : relative.format(Math.trunc(seconds / size), unit));
  }

  /* ---- asking ---- */
  async function ask(path, options = {}) {
    const answer = await fetch(path, {
      cache: "no-store", credentials: "same-origin", redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT), ...options,
    });
    const text = await answer.text();
    if (answer.ok) return text;
    let told = {};
    try { told = JSON.parse(text); } catch { /* no JSON: the status says it */ }
    const failure = new Error(told.error || `the broker answered ${answer.status}`);
    failure.status = answer.status;
    failure.hint = told.hint;
    throw failure;
  }

  const askJson = async (path) => JSON.parse(await ask(path));
  const askLines = async (path) => (await ask(path)).split("\n").filter((l) => l)
    .map((l) => JSON.parse(l));
  const change = (path) => ask(path, {
    method: "POST", body: "{}",
    headers: { "Content-Type": "application/json", "X-Encroot-Admin": "1" },
  });

  function announce(text) {
    $("news").textContent = text;
  }

  function showTrouble(text) {
    const box = $("trouble");
    box.hidden = !text;
    setText(box, text);
  }

  /* ---- head ---- */
  function showHealth(name, text) {
    $("health").dataset.state = name;
    setText($("health-text"), text);
  }

  function showStatus(s) {
    state.role = s.role;
    setText($("broker"), s.broker);
    document.title = (s.pending ? `(${s.pending}) ` : "") + `${s.broker} – encroot broker`;
    setText($("sequence"), !s.audit ? "not known"
      : s.audit.sequence ? `record ${s.audit.sequence}` : "no record yet");
    setText($("hash"), s.audit && s.audit.sequence ? `${s.audit.hash.slice(0, 12)}…` : "");
    $("hash").title = s.audit ? s.audit.hash : "";
    setText($("count-volumes"), s.volumes ?? "–");
    setText($("store"), s.store.kind === "sqlite" ? "SQLite" : "PostgreSQL");
    setText($("version"), s.version);
    setText($("user"), `${s.user}, ${s.role === "admin" ? "administrator" : "reader"}`);
    if (s.store.up) showHealth("good", "Healthy");
    else showHealth("bad", "Store is down");
    showTrouble(s.store.up ? "" : "The store cannot be reached. No key is released until it is back, "
      + `because nothing could be recorded. ${s.store.error || ""}`);
  }

  /* ---- requests ---- */
  const nameOf = (r) => r.name || r.volume;

  function createRequest(r) {
    const times = make("span"), last = make("time");
    const li = make("li", {},
      make("div", { class: "who" },
        make("h3", {}, nameOf(r)),
        make("p", {}, r.peer || "An unknown address", " asked ", times, ", last ", last),
        make("p", { class: "quiet" }, "hardware ", make("code", { title: r.attester },
          `${r.attester.slice(0, 16)}…`), ", request ", make("code", {}, r.id.slice(0, 8)))));
    li.times = times;
    li.last = last;
    li.buttons = make("p", { class: "buttons" },
      make("button", { type: "button", class: "main", "aria-label": `Approve ${nameOf(r)}`,
        onclick: () => decide(r, "approve") }, "Approve…"),
      make("button", { type: "button", class: "bad", "aria-label": `Deny ${nameOf(r)}`,
        onclick: () => decide(r, "deny") }, "Deny…"));
    li.append(li.buttons);
    return li;
  }

  function updateRequest(li, r) {
    li.buttons.hidden = state.role !== "admin";
    setText(li.times, r.count === 1 ? "once" : `${r.count} times`);
    showTime(li.last, r.seen);
  }

  function showRequests(requests) {
    const pending = requests.filter((r) => r.state === "pending");
    reconcile($("requests"), pending, (r) => r.id, createRequest, updateRequest, $("h-requests"));
    $("no-requests").hidden = pending.length > 0;
    $("count-requests").hidden = pending.length === 0;
    setText($("count-requests"), pending.length);
    return pending.length;
  }

  /* Resolves to whether it was confirmed; focus goes back to where it was by itself. */
  function confirmed(title, text, facts, yes, bad) {
    const box = $("confirm");
    setText($("confirm-title"), title);
    setText($("confirm-text"), text);
    $("confirm-facts").replaceChildren(...facts.flatMap(([k, v]) => [make("dt", {}, k),
      make("dd", {}, v)]));
    setText($("confirm-yes"), yes);
    $("confirm-yes").className = bad ? "main bad" : "main";
    box.returnValue = "";
    return new Promise((resolve) => {
      box.addEventListener("close", () => resolve(box.returnValue === "yes"), { once: true });
      box.showModal();
      $("confirm-no").focus();
    });
  }

  async function decide(r, verb) {
    const approve = verb === "approve";
    const facts = [["Volume", nameOf(r)], ["Guest", r.peer || "–"], ["Hardware", r.attester]];
    const yes = await confirmed(approve ? "Release this volume's key once?" : "Refuse this guest?",
      approve ? "The guest's evidence has passed. With your approval it gets the key at its next try."
              : "It is refused for a while, without being put before you again.",
      facts, approve ? "Approve" : "Deny", !approve);
    if (!yes) return;
    try {
      await change(`/v1/requests/${encodeURIComponent(r.id)}/${verb}`);
      announce(`${nameOf(r)}: ${approve ? "approved" : "denied"}`);
      await refresh();
    } catch (e) {
      showTrouble(`${approve ? "Approving" : "Denying"} ${nameOf(r)}: ${e.message}`);
    }
  }

  /* ---- decisions ---- */
  const firstRejection = (r) => (r.findings || []).find((f) => f.verdict === "reject");
  const volumeName = (r) => (r.volume ? state.names.get(r.volume) || r.volume
    : r.verdict === "changed" ? "all" : "no readable evidence");

  function reasonOf(record) {
    if (record.verdict === "granted") return ["", ""];
    if (record.verdict === "changed") return [CHANGES[record.action] || "", record.action];
    const f = firstRejection(record);
    if (!f) return ["not recorded", ""];
    return [isHeld(f) ? "waits for an operator" : REASONS[f.check] || "", f.check];
  }

  function badgeOf(record) {
    if (record.verdict === "granted") return ["good", "Released"];
    if (record.verdict === "changed") return ["plain", "Changed"];
    const f = firstRejection(record);
    return isHeld(f) ? ["hold", "Held"] : ["bad", "Refused"];
  }

  function createDecision(r) {
    const [kind, word] = badgeOf(r);
    const [text, check] = reasonOf(r);
    const row = make("tr", { role: "row" });
    const id = `details-${r.sequence}`;
    row.volume = make("td", { role: "cell", "data-label": "Volume" });
    row.when = make("time");
    row.button = make("button", { type: "button", class: "small", "aria-expanded": "false",
      "aria-controls": id, "aria-label": `Details of record ${r.sequence}`,
      onclick: () => toggle(row, r) }, "Details");
    row.append(
      make("td", { role: "cell" }, make("span", { class: `badge ${kind}` }, word)),
      row.volume,
      make("td", check ? { role: "cell", "data-label": "Reason" } : { role: "cell", class: "blank" },
        text, " ", check ? make("div", {}, make("code", {}, check)) : null),
      make("td", { role: "cell", "data-label": "By" }, r.user || r.peer || "–"),
      make("td", { role: "cell", "data-label": "When" }, row.when),
      make("td", { role: "cell" }, row.button));
    row.companion = make("tr", { role: "row", class: "below", id, hidden: "" });
    return row;
  }

  function updateDecision(row, r) {
    setText(row.volume, volumeName(r));
    showTime(row.when, r.time);
  }

  function findingOf(f) {
    const dl = make("dl", { class: "details" });
    for (const [k, label] of [["expected", "Expected"], ["found", "Found"], ["remedy", "Remedy"]])
      if (f[k]) dl.append(make("dt", {}, label), make("dd", {}, f[k]));
    return make("div", { class: "finding" }, make("code", {}, f.check), dl);
  }

  function showDetails(cell, { record, evidence }) {
    const findings = record.findings || [];
    const rejected = findings.filter((f) => f.verdict === "reject");
    const rest = findings.length - rejected.length;
    const facts = make("dl", { class: "details" });
    const put = (k, v) => v && facts.append(make("dt", {}, k), make("dd", {}, v));
    put("Correlation id", make("code", {}, record.id));
    put("Record", `${record.sequence}, ${new Date(record.time).toLocaleString()}`);
    put("Broker", record.broker);
    put("Changed", record.detail);
    if (record.findings) {
      put("Platform", record.platform);
      put("Checks", `${rejected.length} rejected, ${rest} passed or waived`);
      put("Evidence", evidence ? "kept: encroot audit show explains it" : "not kept");
    }
    cell.replaceChildren(...rejected.map(findingOf), facts);
  }

  async function toggle(row, r) {
    const below = row.companion;
    const open = below.hidden;
    below.hidden = !open;
    row.button.setAttribute("aria-expanded", String(open));
    if (!open || (below.firstChild && !below.failed)) return;
    below.failed = false;
    below.replaceChildren();
    const cell = make("td", { role: "cell", colspan: "6" }, "Loading…");
    below.append(cell);
    try {
      showDetails(cell, await askJson(`/v1/audit/${encodeURIComponent(r.id)}`));
    } catch (e) {
      cell.replaceChildren(`Not available: ${e.message}`);
      below.failed = true;
    }
  }

  function showDecisions() {
    const only = $("refusals").checked;
    const list = state.decisions.filter((r) => !only || r.verdict === "denied");
    reconcile($("decisions"), list, (r) => r.sequence, createDecision, updateDecision,
      $("h-decisions"));
    $("t-decisions").hidden = list.length === 0;
    $("no-decisions").hidden = list.length > 0;
    setText($("no-decisions"), only && state.decisions.length
      ? "Nothing was refused of late." : "No guest has asked for a key yet.");
  }

  function announceNews(pending) {
    const newest = state.decisions.length ? state.decisions[0].sequence : 0;
    if (state.seen) {
      const fresh = state.decisions.filter((r) => r.sequence > state.seen.sequence);
      const refused = fresh.filter((r) => badgeOf(r)[0] === "bad");
      const parts = [];
      if (pending > state.seen.pending) parts.push(`${pending} waiting for approval`);
      if (refused.length) parts.push(`refused: ${volumeName(refused[0])}, `
        + reasonOf(refused[0]).filter((t) => t)[0]);
      if (parts.length) announce(parts.join("; "));
    }
    state.seen = { sequence: newest, pending };
  }

  /* ---- volumes ---- */
  function createVolume() {
    const row = make("tr", { role: "row" });
    row.name = make("span");
    row.uuid = make("code", { class: "quiet" });
    row.badge = make("span", { class: "badge" });
    row.note = make("div", { class: "quiet" });
    row.approval = make("td", { role: "cell", "data-label": "Approval" });
    row.values = make("td", { role: "cell", "data-label": "Reference values" });
    row.last = make("time");
    row.never = make("span", { class: "quiet" });
    row.append(make("th", { role: "rowheader", scope: "row" }, row.name, make("div", {}, row.uuid)),
      make("td", { role: "cell" }, row.badge, row.note), row.approval, row.values,
      make("td", { role: "cell", "data-label": "Last release" }, row.last, row.never));
    return row;
  }

  function stateOf(v) {
    const now = new Date();
    if (!v.sealed) return ["bad", "Unsealed", "changed past the broker"];
    if (!v.enabled) return ["bad", "Disabled", ""];
    if (v.not_after && new Date(v.not_after) <= now)
      return ["bad", "Expired", new Date(v.not_after).toLocaleString()];
    if (v.not_before && new Date(v.not_before) > now)
      return ["hold", "Not yet valid", `from ${new Date(v.not_before).toLocaleString()}`];
    return ["good", "Enabled", v.not_after ? `until ${new Date(v.not_after).toLocaleString()}` : ""];
  }

  function span(seconds) {
    const [size, unit] = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]
      .find(([s]) => seconds % s === 0);
    return seconds === size ? unit : `${seconds / size} ${unit}s`;
  }

  function updateVolume(row, v) {
    const [kind, word, note] = stateOf(v);
    const rate = v.rate ? `, at most ${v.rate.count} per ${span(v.rate.seconds)}` : "";
    const valid = v.values.filter((x) => x.valid).length;
    setText(row.name, v.name);
    setText(row.uuid, v.name === v.uuid ? "" : v.uuid);
    row.badge.className = `badge ${kind}`;
    setText(row.badge, word);
    setText(row.note, note);
    setText(row.approval, (v.approval === "manual" ? "by an operator" : "automatic") + rate);
    setText(row.values, v.values.length ? `${valid} of ${v.values.length} valid` : "in the policy");
    showTime(row.last, state.last.get(v.uuid));
    setText(row.never, state.last.get(v.uuid) ? "" : state.older.has(v.uuid) ? "not of late" : "never");
  }

  async function readVolumes() {
    const all = [];
    let more = true;
    for (let page = 0; more && page < state.pages; page++) {
      const after = all.length ? `&after=${encodeURIComponent(all[all.length - 1].name)}` : "";
      const answer = await askJson(`/v1/volumes?limit=${PAGE}${after}`);
      all.push(...answer.volumes);
      more = answer.more && answer.volumes.length > 0;
    }
    for (const v of all) state.names.set(v.uuid, v.name);
    return { all, more };
  }

  /* The last release of a volume is looked up again only when there is a newer record of it. */
  async function readLast(volumes) {
    const newest = new Map();
    for (const r of state.decisions) if (r.volume && !newest.has(r.volume)) newest.set(r.volume, r);
    for (const v of volumes) {
      const latest = newest.get(v.uuid);
      const at = latest ? latest.sequence : 0;
      if (state.lastAt.has(v.uuid) && state.lastAt.get(v.uuid) >= at) continue;
      const records = latest && latest.verdict === "granted" ? [latest]
        : await askLines(`/v1/audit?newest=1&limit=${LOOKED_BACK}&volume=${v.uuid}`);
      const granted = records.find((r) => r.verdict === "granted");
      if (granted) state.last.set(v.uuid, granted.time);
      else if (records.length === LOOKED_BACK) state.older.add(v.uuid);
      state.lastAt.set(v.uuid, at);
    }
  }

  function showVolumes({ all, more }) {
    reconcile($("volumes"), all, (v) => v.uuid, createVolume, updateVolume, $("h-volumes"));
    $("t-volumes").hidden = all.length === 0;
    $("no-volumes").hidden = all.length > 0;
    $("more").hidden = !more;
  }

  /* ---- again and again ---- */
  async function readAll() {
    const s = await askJson("/v1/status");
    showStatus(s);
    if (!s.store.up) return false;
    const [requests, decisions, volumes] = await Promise.all([
      askJson("/v1/requests"), askLines(`/v1/audit?newest=1&limit=${DECISIONS}`), readVolumes()]);
    state.decisions = decisions;
    const pending = showRequests(requests.requests);
    showDecisions();
    await readLast(volumes.all);
    showVolumes(volumes);
    announceNews(pending);
    return true;
  }

  function showFailure(e) {
    const since = state.reached ? ` Last reached ${state.reached.toLocaleTimeString()}; what is shown `
      + "is of then." : "";
    showHealth("bad", e.status === 403 ? "Not allowed" : e.status ? "Trouble" : "Unreachable");
    showTrouble(e.status ? `The broker says: ${e.message}. ${e.hint || ""}`
      : `The broker cannot be reached. Trying again every few seconds.${since}`);
  }

  let running = null;
  async function refreshNow() {
    try {
      const whole = await readAll();
      document.body.classList.toggle("stale", !whole);
      state.reached = new Date();
      setText($("refreshed"), `Read from the broker at ${state.reached.toLocaleTimeString()}.`);
    } catch (e) {
      document.body.classList.add("stale");
      showFailure(e);
    }
  }

  /* One at a time; whoever asks for one waits for one that began after that. */
  async function refresh() {
    while (running) await running;
    running = refreshNow().finally(() => { running = null; });
    await running;
  }

  async function loop() {
    if (!document.hidden && !running) await refresh();
    setTimeout(loop, INTERVAL);
  }

  $("confirm-no").addEventListener("click", () => $("confirm").close("no"));
  $("confirm-yes").addEventListener("click", () => $("confirm").close("yes"));
  $("refusals").addEventListener("change", showDecisions);
  $("more").addEventListener("click", () => { state.pages++; refresh(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  loop();
})();
