// What can be done from the page: retry and drop parked notifications, and set the level
// of the log. All of it takes the token, which is kept for this tab and sent in a header;
// no cookie is set, so that no other site can use it.

import { byId, el, list, say, set, show, table } from './dom.js';
import { clock, number, size } from './format.js';

const place = 'walherald.token';
const listed = 100;

let can = { change: false, parking: false, level: '' };
let token = sessionStorage.getItem(place) ?? '';
let parked = { total: 0, parked: [] };
let seen = null; // how many were parked when the list was fetched
let acting = false; // whether something is under way that somebody asked for
let last = Promise.resolve(); // ends when the latest request has
let tell = () => {};

// ask sends a request with the token. A refusal becomes an Error that says why.
async function ask(method, path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body) headers['Content-Type'] = 'application/json';
  const answer = await fetch(path, {
    method, headers, body: body && JSON.stringify(body), credentials: 'omit', cache: 'no-store',
  });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const failure = new Error(said.error ?? `the server answered ${answer.status}`);
  failure.status = answer.status;
  throw failure;
}

function message(text, tone = 'good') {
  const node = byId('message');
  say(node, text);
  set(node, 'data-tone', tone);
  show(node, text !== '');
  if (text) tell(text);
}

// run does one thing and says how it went.
async function run(what) {
  try {
    await what();
  } catch (failure) {
    if (failure.status === 401) {
      forget();
      message('That token is wrong. Nothing was changed.', 'bad');
      byId('token').select();
    } else {
      message(`That did not work: ${failure.message}.`, 'bad');
    }
  }
}

// later does it when all before has ended.
function later(what) {
  last = last.then(() => run(what));
  return last;
}

// attempt does what somebody asks for. Asked twice, as by a double click, it does it once.
async function attempt(what) {
  if (acting) return;
  acting = true;
  await later(what);
  acting = false;
}

// refresh fetches the list. Where nothing parks, the answer still shows that the token
// is the right one.
async function refresh() {
  try {
    parked = await ask('GET', `parked?limit=${listed}`);
  } catch (failure) {
    if (failure.status !== 404) throw failure;
    parked = { total: 0, parked: [] };
  }
  showParked();
}

function forget() {
  token = '';
  sessionStorage.removeItem(place);
  parked = { total: 0, parked: [] };
  showLocks();
}

function showLocks() {
  show(byId('locked'), !can.change);
  show(byId('unlock'), can.change && !token);
  show(byId('unlocked'), can.change && Boolean(token));
}

const unlock = () => attempt(async () => {
  token = byId('token').value.trim();
  try {
    await refresh();
  } catch (failure) {
    token = '';
    throw failure;
  }
  sessionStorage.setItem(place, token);
  byId('token').value = '';
  showLocks();
  message('');
  tell('Unlocked');
  byId('parked-title').focus();
});

function outcome(verb, result) {
  const failed = result.failed ? `, ${number(result.failed)} failed${result.error ? `: ${result.error}` : ''}` : '';
  message(`${number(result.done)} ${verb}${failed}.`, result.failed ? 'bad' : 'good');
}

// restoreFocus keeps the keyboard's place when the button that was pressed is gone.
function restoreFocus() {
  if (document.activeElement === document.body) byId('message').focus();
}

const change = (path, verb, wish) => attempt(async () => {
  const result = await ask('POST', path, wish);
  await refresh();
  outcome(verb, result);
  restoreFocus();
});

const retry = (wish) => change('parked/retry', 'delivered', wish);

// drop asks first: it cannot be taken back.
function drop(wish, what) {
  const dialog = byId('confirm');
  say(byId('confirm-title'), `Drop ${what}?`);
  say(byId('confirm-text'), 'What is dropped is not delivered any more. This cannot be taken back.');
  dialog.returnValue = 'cancel';
  dialog.onclose = () => {
    if (dialog.returnValue === 'drop') change('parked/drop', 'dropped', wish);
  };
  dialog.showModal();
}

function buttons(wish, what) {
  return [
    el('button', { 'data-do': 'retry', 'aria-label': `Retry ${what}` }, 'Retry'),
    el('button', { 'data-do': 'drop', 'aria-label': `Drop ${what}`, class: 'danger' }, 'Drop…'),
  ].map((button) => {
    button.addEventListener('click', () => (button.dataset.do === 'retry' ? retry(wish) : drop(wish, what)));
    return button;
  });
}

function showGroups() {
  const names = [...new Set(parked.parked.map((p) => p.destination))];
  list(byId('parked-groups'), names, (name) => name,
    (name) => el('p', { class: 'line' }, el('span', { class: 'name' }, `All of ${name}`),
      ...buttons({ destination: name }, `everything parked for ${name}`)),
    () => {});
}

function showParked() {
  const all = parked.parked;
  say(byId('parked-none'), !can.parking ? 'There is no parking: no destination of the notifier parks what it cannot deliver.'
    : all.length === 0 ? 'Nothing is parked.'
    : all.length < parked.total ? `The first ${number(all.length)} of ${number(parked.total)}.` : `${number(parked.total)} parked.`);
  showGroups();
  show(byId('parked-table'), all.length > 0);
  table(byId('parked-table'), 'Notifications that could not be delivered', [
    ['Change', (p) => `${p.table} ${p.action} at ${p.lsn}`],
    ['Destination', (p) => p.destination],
    ['Rule', (p) => p.rule],
    ['Reason', (p) => p.reason],
    ['Parked', (p) => clock(p.parkedAt), 'number'],
    ['Next attempt', (p) => `${p.next ? clock(p.next) : 'waits for you'}, ${number(p.attempts)} so far`],
    ['Size', (p) => size(p.bytes), 'number'],
    ['Do', (p) => ({
      key: `${p.destination} ${p.id}`,
      nodes: () => buttons({ destination: p.destination, ids: [p.id] }, `${p.table} ${p.action} at ${p.lsn} for ${p.destination}`),
    }), 'do'],
  ], all, (p) => JSON.stringify([p.destination, p.id]));
}

const setLevel = () => attempt(async () => {
  const now = await ask('PUT', 'log/level', { level: byId('level').value });
  showLevel(now.level, now.configured);
  message(`The log is at level ${now.level}.`);
});

function showLevel(now, configured) {
  say(byId('level-now'), `now ${now}${now === configured ? '' : `; the configuration says ${configured}`}`);
}

// setAbilities takes what the server says of itself with every frame.
export function setAbilities(frame) {
  const first = byId('level-now').textContent === '';
  can = frame.can;
  showLocks();
  showLevel(frame.status.logLevel, can.level);
  if (first) byId('level').value = frame.status.logLevel;
  if (!can.parking) showParked();
  const count = frame.status.outputs.reduce((n, o) => n + (o.parked ?? 0), 0);
  if (token && can.change && can.parking && !acting && count !== seen) {
    seen = count;
    later(async () => token && refresh());
  }
}

function on(id, event, act) {
  byId(id).addEventListener(event, (e) => {
    e.preventDefault();
    act();
  });
}

// startControl is given what tells screen readers a sentence.
export function startControl(speak) {
  tell = speak;
  on('unlock', 'submit', unlock);
  on('level-form', 'submit', setLevel);
  on('lock', 'click', () => {
    forget();
    message('');
    byId('token').focus();
  });
  showLocks();
}
