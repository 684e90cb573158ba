"use strict";

// The most requests that are shown; older ones go.
const kept = 300;

const titles = {
  "order-placed": "Orders placed",
  "order-shipped": "Orders shipped",
  "plan-upgraded": "Plans upgraded",
  "low-stock": "Low stock",
  "user-deleted": "Users deleted",
};
const totals = [
  ["requests", "requests"],
  ["accepted", "accepted"],
  ["refused", "refused for a while", "warn"],
  ["repeated", "repeats"],
  ["late", "parked, then after newer ones"],
  ["backward", "out of order", "bad"],
  ["signatures", "wrong signatures", "bad"],
  ["strange", "not asked for", "bad"],
];

const byId = (id) => document.getElementById(id);

// make makes an element; texts of the shop are always text, never markup.
function make(name, classes, text) {
  const e = document.createElement(name);
  if (classes) e.className = classes;
  if (text !== undefined) e.textContent = text;
  return e;
}

// card returns the card of this name in a list, which it makes if need be.
function card(list, name, title, kind) {
  let c = list.querySelector(`[data-name="${name}"]`);
  if (!c) {
    const item = make("li");
    c = make(kind, "card");
    c.dataset.name = name;
    c.append(make("span", "", title), make("b", "", "0"), make("small", "", ""));
    item.append(c);
    list.append(item);
  }
  return c;
}

// only is the story that is shown alone, if any.
let only = "";

function choose(name) {
  only = only === name ? "" : name;
  for (const c of byId("rules").querySelectorAll("button")) {
    c.setAttribute("aria-pressed", String(c.dataset.name === only));
  }
  for (const item of byId("arrivals").children) {
    item.hidden = only !== "" && item.dataset.rule !== only;
  }
}

function showRules(rules) {
  for (const r of rules) {
    const c = card(byId("rules"), r.name, titles[r.name] || r.name, "button");
    if (!c.onclick) {
      c.type = "button";
      c.setAttribute("aria-pressed", "false");
      c.onclick = () => choose(r.name);
    }
    c.querySelector("b").textContent = r.accepted;
    c.querySelector("small").textContent = r.refused ? `${r.refused} refused for a while` : "accepted";
  }
}

function showEndpoints(endpoints) {
  for (const e of endpoints) {
    const c = card(byId("endpoints"), e.name, e.name, "div");
    c.querySelector("b").textContent = e.accepted;
    const small = c.querySelector("small");
    small.textContent = e.fails ? "out of order: answers 503" : e.refused ? `at work; refused ${e.refused} before` : "at work";
    small.className = e.fails ? "bad" : "good";
  }
}

function showTotals(v) {
  const list = byId("totals");
  list.replaceChildren(...totals.map(([key, label, alarm]) => {
    const pair = make("div");
    pair.append(make("dt", "", label), make("dd", alarm && v[key] > 0 ? alarm : "", v[key]));
    return pair;
  }));
}

function seconds(s) {
  if (s < 0.01) return `${(s * 1000).toFixed(1)} ms`;
  return s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(1)} s`;
}

// note says what is remarkable about a request.
function note(a) {
  const notes = [];
  if (a.attempt > 1) notes.push(`attempt ${a.attempt}`);
  if (a.repeat) notes.push("repeat");
  if (a.late) notes.push("after newer ones");
  if (a.signed && !notes.length) notes.push(seconds(a.after));
  return notes.join(", ");
}

function details(a) {
  const more = make("div", "more");
  more.append(
    make("p", a.signed ? "good" : "bad", a.signed ? "The signature is right." : "The signature is wrong."),
    make("p", "", `Rule ${a.rule || "unknown"}, attempt ${a.attempt}, ${seconds(a.after)} after the commit`),
    make("p", "", `webhook-id ${a.id}`),
  );
  if (a.payload) more.append(make("pre", "", JSON.stringify(a.payload, null, 2)));
  return more;
}

function showArrival(a) {
  const item = make("li");
  item.dataset.rule = a.rule;
  item.hidden = only !== "" && a.rule !== only;
  const box = make("details");
  const head = make("summary");
  const time = make("time", "", new Date(a.at).toLocaleTimeString([], { hour12: false }));
  time.dateTime = a.at;
  const ok = a.status < 300;
  head.append(
    time, make("span", "to", a.destination), make("span", "words", a.words || "unreadable"),
    make("span", a.attempt > 1 || a.late ? "note warn" : "note", note(a)), make("span", ok ? "status good" : "status bad", a.status),
  );
  box.append(head);
  box.addEventListener("toggle", () => { if (box.childElementCount === 1) box.append(details(a)); });
  item.append(box);
  byId("arrivals").prepend(item);
}

function showPage(url) {
  const a = byId("page");
  a.hidden = !url;
  if (url) a.href = url;
}

function show(v) {
  showPage(v.page);
  showRules(v.rules);
  showEndpoints(v.endpoints);
  showTotals(v);
  const list = byId("arrivals");
  for (const a of v.arrivals || []) showArrival(a);
  while (list.childElementCount > kept) list.lastElementChild.remove();
  byId("empty").hidden = list.childElementCount > 0;
}

function link(text, state) {
  const e = byId("link");
  if (e.textContent === text) return;
  e.textContent = text;
  e.className = state;
}

const source = new EventSource("events");
source.onmessage = (message) => {
  link("live", "on");
  show(JSON.parse(message.data));
};
source.onerror = () => link("The demo does not answer; it may have ended.", "off");
