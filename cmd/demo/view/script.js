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

// The figures: key, what it is called, and the tone of one that is not 0.
const figures = [
  ["requests", "requests"],
  ["accepted", "accepted"],
  ["refused", "refused for a while", "warn"],
  ["repeated", "repeated"],
  ["late", "late from the parking"],
  ["backward", "out of order", "bad"],
  ["signatures", "wrong signatures", "bad"],
  ["strange", "nobody asked for", "bad"],
];

const byId = (id) => document.getElementById(id);

// make makes an element. What comes from the shop is always text, never markup.
function make(name, classes, text) {
  const e = document.createElement(name);
  if (classes) e.className = classes;
  if (text !== undefined) e.textContent = text;
  return e;
}

// say changes a text only if it is another one, so that it is not announced again.
function say(e, text) {
  if (e.textContent !== String(text)) e.textContent = text;
}

// tone sets what an element's colour means; none takes it away.
function tone(e, value) {
  if (value) e.dataset.tone = value;
  else delete e.dataset.tone;
}

function duration(s) {
  if (s < 0.01) return `${(s * 1000).toFixed(1)} ms`;
  return s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(1)} s`;
}

// headline says in a sentence how it goes.
function headline(v) {
  const down = v.endpoints.filter((e) => e.fails).map((e) => e.name);
  const wrong = v.backward + v.signatures + v.strange;
  if (wrong > 0) return ["bad", `${wrong} webhooks are not as they should be`, "Out of order, with a wrong signature or of an event that nobody asked for."];
  if (down.length > 0) return ["warn", `${down.join(" and ")} is out of order`, "It answers 503. What cannot be delivered is parked and comes again, under the same id; the others go on."];
  if (v.requests === 0) return ["wait", "Waiting for the first webhook", ""];
  return ["good", "Every webhook is accepted", "Each is signed, and the changes of a row come in their order."];
}

function showHeadline(v) {
  const [mood, title, detail] = headline(v);
  tone(byId("state"), mood);
  say(byId("headline"), title);
  say(byId("detail"), detail);
}

function showFigures(v) {
  const list = byId("totals");
  if (!list.childElementCount) {
    for (const [, label] of figures) {
      const pair = make("div");
      pair.append(make("dt", "", label), make("dd"));
      list.append(pair);
    }
  }
  figures.forEach(([key, , alarm], i) => {
    const value = list.children[i].lastElementChild;
    say(value, v[key]);
    tone(value, v[key] > 0 ? alarm : "");
  });
}

// card returns the card of this name in a list, which it makes if need be.
function card(list, name, title, kind) {
  let c = list.querySelector(`[data-name="${name}"]`);
  if (!c) {
    const item = make("li");
    c = make(kind, "card");
    c.dataset.name = name;
    c.append(make("span", "", title), make("b"), make("small"));
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
    say(c.querySelector("b"), r.accepted);
    say(c.querySelector("small"), r.refused ? `accepted; ${r.refused} refusals` : "accepted");
  }
}

function showEndpoints(endpoints) {
  for (const e of endpoints) {
    const c = card(byId("endpoints"), e.name, e.name, "div");
    tone(c, e.fails ? "warn" : "good");
    say(c.querySelector("b"), e.accepted);
    const past = e.refused ? `; ${e.refused} refusals` : "";
    say(c.querySelector("small"), (e.fails ? "out of order" : "at work") + past);
  }
}

// note says how a request was made, and what is remarkable about it.
function note(a) {
  const notes = [a.signed ? "signed" : "not signed"];
  if (a.attempt > 1) notes.push(`attempt ${a.attempt}`);
  if (a.repeat) notes.push("repeat");
  if (a.late) notes.push("after newer ones");
  if (a.signed && notes.length === 1) notes.push(duration(a.after));
  return notes.join(", ");
}

function details(a) {
  const more = make("div", "more");
  const signature = make("p", "signature", a.signed ? "The signature is right." : "The signature is wrong.");
  tone(signature, a.signed ? "good" : "bad");
  more.append(signature);
  if (a.rule) more.append(make("p", "", `Rule ${a.rule}, attempt ${a.attempt}, ${duration(a.after)} after the commit`));
  more.append(make("p", "", `webhook-id ${a.id}`));
  if (a.payload) more.append(make("pre", "", JSON.stringify(a.payload, null, 2)));
  return more;
}

function summary(a) {
  const head = make("summary");
  const time = make("time", "", new Date(a.at).toLocaleTimeString([], { hour12: false }));
  time.dateTime = a.at;
  const words = make("span", "words", a.words || "a request that tells nothing");
  const how = make("span", "note", note(a));
  tone(how, !a.signed ? "bad" : a.attempt > 1 || a.late ? "warn" : "");
  const status = make("span", "status", a.status);
  tone(status, a.status < 300 ? "good" : a.status === 503 ? "warn" : "bad");
  head.append(time, make("span", "to", a.destination), words, how, status);
  return head;
}

function showArrival(a) {
  const item = make("li");
  item.dataset.rule = a.rule;
  item.hidden = only !== "" && a.rule !== only;
  const box = make("details");
  box.append(summary(a));
  box.addEventListener("toggle", () => {
    if (box.childElementCount === 1) box.append(details(a));
  });
  item.append(box);
  byId("arrivals").prepend(item);
}

function show(v) {
  const page = byId("page");
  page.hidden = !v.page;
  if (v.page) page.href = v.page;
  showHeadline(v);
  showFigures(v);
  showRules(v.rules);
  showEndpoints(v.endpoints);
  const list = byId("arrivals");
  for (const a of v.arrivals || []) showArrival(a);
  while (list.childElementCount > kept) list.lastElementChild.remove();
}

function link(text, value) {
  say(byId("link"), text);
  tone(byId("link"), value);
}

const source = new EventSource("events");
source.onmessage = (message) => {
  link("live", "good");
  show(JSON.parse(message.data));
};
source.onerror = () => link("the demo does not answer; it may have ended", "bad");
