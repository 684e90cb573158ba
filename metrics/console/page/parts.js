// What the page shows of a status: the figures, source, outputs, events and rules.

import { byId, el, facts, list, say, set, show, table } from './dom.js';
import { clock, delay, duration, number, rate, size } from './format.js';
import { drawSpark, makeSpark } from './charts.js';

const known = (text) => text || 'not known yet';

// ago tells since when something holds.
const ago = (seconds) => `since ${duration(seconds)}`;

// stateLine says in words how a part does.
function stateLine(part, standby) {
  if (part.ready) return `Ready ${ago(part.seconds)}`;
  if (standby) return `Standby ${ago(part.seconds)}`;
  return part.reason === 'starting' ? 'Starting' : `Blocked ${ago(part.seconds)}`;
}

const tone = (part, standby) => (part.ready ? (part.circuitOpen ? 'warn' : 'good') : standby ? 'wait' : 'bad');

function makeCard(kind) {
  return el('article', { class: 'card' },
    el('header', {},
      el(kind, {}, el('span', { class: 'name' }), ' ', el('span', { class: 'kind' })),
      el('p', { class: 'tone' }, el('span', { class: 'mark', 'aria-hidden': 'true' }), ' ', el('span', { class: 'word' }))),
    el('p', { class: 'reason' }), el('p', { class: 'note' }), el('dl', { class: 'facts' }));
}

function head(card, part, name, kind, standby) {
  set(card, 'data-tone', tone(part, standby));
  say(card.querySelector('.name'), name);
  say(card.querySelector('.kind'), kind);
  say(card.querySelector('.word'), stateLine(part, standby));
  const reason = part.ready || part.reason === 'starting' ? '' : part.reason + (part.lsn ? ` at ${part.lsn}` : '');
  for (const [place, text] of [['.reason', reason], ['.note', part.note]]) {
    const node = card.querySelector(place);
    say(node, text);
    show(node, Boolean(text));
  }
}

export function showFigures(frame) {
  const { source, outputs } = frame.status;
  const delays = frame.rates.outputs.map((o) => o.p99).filter((v) => v !== null);
  facts(byId('figures'), [
    ['Behind', source.lagSeconds > 0 ? duration(source.lagSeconds) : 'nothing waits'],
    ['Lag', size(source.lagBytes)],
    ['Read', rate(frame.rates.changes)],
    ['Confirmed', rate(frame.rates.outputs.reduce((all, o) => all + o.published, 0))],
    ['99 % within', delays.length ? delay(Math.max(...delays)) : '–'],
    ['Parked', outputs.some((o) => o.kind === 'destination') ? number(outputs.reduce((n, o) => n + (o.parked ?? 0), 0)) : null],
  ]);
}

function retained(s) {
  if (s.retainedBytes === null) return 'not known yet';
  const left = s.safeBytes === null ? 'no bound' : `${size(s.safeBytes)} more until the slot is lost`;
  return `${size(s.retainedBytes)}, ${left}`;
}

export function showSource(status) {
  const s = status.source;
  const place = byId('source-card');
  if (!place.firstElementChild) place.append(makeCard('h3'));
  const card = place.firstElementChild;
  head(card, s, s.database ? `${s.address}/${s.database}` : s.address, 'PostgreSQL', status.state === 'standby');
  facts(card.querySelector('dl'), [
    ['Behind', `${size(s.lagBytes)}, ${duration(s.lagSeconds)}`],
    ['Log kept for the slot', retained(s)],
    ['Slot', `${s.slot}${s.slotStatus ? `: ${s.slotStatus}` : ''}`],
    ['Publication', s.publication],
    ['Server is at', known(s.serverLSN)],
    ['Read up to', known(s.receivedLSN)],
    ['Confirmed up to', known(s.confirmedLSN)],
    ['Told the server', known(s.flushedLSN)],
    ['Transactions', number(s.transactions)],
    ['Changes', `${number(s.changes)}${s.filtered ? `, ${number(s.filtered)} filtered out` : ''}`],
    ['Reconnects', number(s.reconnects)],
    ['Memory', `${size(s.windowBytes)} of ${size(s.windowLimitBytes)}`],
  ]);
}

function oldest(o) {
  if (!o.oldest) return 'none';
  return `${o.oldest.table} at ${o.oldest.lsn}, ${duration(o.oldest.seconds)} old: ${o.oldest.why}`;
}

function parkedFact(o) {
  if (!o.parked) return o.kind === 'destination' ? 'none' : null;
  return `${number(o.parked)}, the oldest for ${duration(o.parkedSeconds ?? 0)}`;
}

function showOutput(card, o, frame, points) {
  const r = frame.rates.outputs.find((one) => one.name === o.name) ?? { published: 0, p50: null, p99: null };
  head(card, o, o.name, [o.type, o.mode].filter(Boolean).join(', '), false);
  facts(card.querySelector('dl'), [
    ['Confirmed', rate(r.published)],
    ['Median / 99 %', `${delay(r.p50)} / ${delay(r.p99)}`],
    ['Waiting', `${number(o.waitingEvents)} events, ${size(o.waitingBytes)}${o.limitBytes ? ` of ${size(o.limitBytes)}` : ''}`],
    ['Confirmed up to', known(o.confirmedLSN)],
    ['Published', `${number(o.published)} in ${number(o.batches)} batches`],
    ['Failed attempts', `${number(o.failures)}${o.heldUpSeconds ? `, held up ${duration(o.heldUpSeconds)} in all` : ''}`],
    ['Circuit', o.kind === 'destination' ? (o.circuitOpen ? 'open: taken for down, nothing is sent' : 'closed') : null],
    ['Parked', parkedFact(o)],
    ['Oldest unconfirmed', oldest(o), 'wide'],
    ['Last error', o.lastError ? `${o.lastErrorAt ? `${clock(o.lastErrorAt)}: ` : ''}${o.lastError}` : null, 'wide'],
  ]);
  drawSpark(card.querySelector('.spark'), points, o.name);
}

export function showOutputs(frame, points) {
  list(byId('cards'), frame.status.outputs, (o) => o.name,
    () => {
      const card = makeCard('h3');
      card.append(el('div', { class: 'sparkline' }, 'Confirmed in a second, last five minutes', makeSpark()));
      return card;
    },
    (card, o) => showOutput(card, o, frame, points));
}

function hop(h, age) {
  const to = h.topic ? `${h.output} → ${h.topic}` : h.output;
  return h.confirmed ? `✓ ${to}, confirmed in ${duration(h.seconds)}` : `… ${to}, waiting for ${duration(age)}`;
}

// way is the path of an event at a time.
function way(event, now) {
  const age = (Date.parse(now) - Date.parse(event.committed)) / 1000;
  const texts = event.path.length ? event.path.map((h) => hop(h, age)) : ['no output wants it'];
  return { key: texts.join('\n'), nodes: () => [el('ul', { class: 'path' }, ...texts.map((t) => el('li', {}, t)))] };
}

const few = 12; // events that are shown unless somebody asks for more
let allEvents = false;

function showMore(total) {
  const button = byId('more-events');
  show(button, total > few);
  set(button, 'aria-expanded', allEvents ? 'true' : 'false');
  say(button, allEvents ? `Show the last ${few} only` : `Show the last ${total}`);
}

export function showEvents(status) {
  byId('more-events').onclick = () => {
    allEvents = !allEvents;
    showEvents(status);
  };
  showMore(status.events.length);
  table(byId('events-table'), 'The last events that were read, newest first; of a flood a sample', [
    ['Committed', (e) => clock(e.committed), 'number'],
    ['Table', (e) => e.table],
    ['Action', (e) => e.action],
    ['Position', (e) => e.lsn, 'number'],
    ['Path', (e) => way(e, status.at)],
  ], allEvents ? status.events : status.events.slice(0, few), (e) => `${e.id} ${e.lsn}`);
}

export function showRules(status) {
  const rows = status.rules.flatMap((rule) => (rule.destinations.length
    ? rule.destinations.map((d) => ({ rule, d }))
    : [{ rule, d: { destination: '–', matched: 0, delivered: 0, parked: 0, other: 0 } }]));
  show(byId('rules'), rows.length > 0);
  show(byId('to-rules'), rows.length > 0);
  const count = (what) => ({ d }) => number(d[what]);
  table(byId('rules-table'), 'What became of the notifications of each rule since the start; parked are those given up in line, delivered since or not; other are those dropped or coalesced', [
    ['Rule', ({ rule }) => rule.name],
    ['Asks for', ({ rule }) => rule.match],
    ['Destination', ({ d }) => d.destination],
    ['Matched', count('matched'), 'count'],
    ['Delivered', count('delivered'), 'count'],
    ['Parked', count('parked'), 'count'],
    ['Other', count('other'), 'count'],
  ], rows, ({ rule, d }) => JSON.stringify([rule.name, d.destination]));
}
