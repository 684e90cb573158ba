// The page: listens to /events and shows what comes, and says so when nothing comes.

import { byId, say, set, show } from './dom.js';
import { clock, duration } from './format.js';
import { drawCharts } from './charts.js';
import { showEvents, showFigures, showOutputs, showRules, showSource } from './parts.js';
import { setAbilities, startControl } from './control.js';

const tones = { good: 'Working', wait: 'Waiting', warn: 'Attention', bad: 'Blocked' };
const stale = 4; // seconds without a word, of which one is due every second
const patience = 20; // seconds without a word after which a connection is given up
const keep = 300; // points of the charts

let points = [];
let source = null; // the EventSource
let heard = null; // when the last word came, by performance.now()
let frame = null; // the last one
let spoken = ''; // the state that screen readers were told last
let tried = 0; // when the last attempt to connect was made, likewise
let ended = false; // whether the server said that it stops

// tell gives screen readers one sentence.
export function tell(text) {
  say(byId('told'), text);
}

function announce(key, text) {
  if (key === spoken) return;
  spoken = key;
  tell(text);
  document.title = `${key} – walherald`;
}

function showHeadline({ tone, text, key, detail }) {
  set(byId('state'), 'data-tone', tone);
  say(byId('tone'), tones[tone]);
  say(byId('headline'), text);
  say(byId('detail'), detail);
  announce(key, detail ? `${text}. ${detail}` : text);
}

function showFrame() {
  const { status } = frame;
  showHeadline(frame.headline);
  showFigures(frame);
  drawCharts(points);
  showSource(status);
  showOutputs(frame, points);
  showEvents(status);
  showRules(status);
  setAbilities(frame);
  say(byId('version'), status.version);
  say(byId('process'), `Running for ${duration((Date.parse(status.at) - Date.parse(status.started)) / 1000)}. Times are yours, sizes in powers of 1024.`);
}

function hear() {
  heard = performance.now();
  ended = false;
  checkLink();
}

// checkLink says whether what is shown is true now.
function checkLink() {
  const silence = heard === null ? Infinity : (performance.now() - heard) / 1000;
  const lost = silence > stale || ended;
  const never = frame === null;
  set(byId('link'), 'data-tone', lost ? 'bad' : 'good');
  say(byId('link'), lost ? (never ? 'connecting' : 'no connection') : 'live');
  set(document.body, 'data-lost', lost && !never);
  show(byId('lost'), lost && !never);
  if (!lost || never) return;
  const why = ended ? 'walherald has stopped.' : `No word from walherald for ${duration(silence)}.`;
  say(byId('lost'), `${why} What is shown is as of ${clock(frame.status.at)}. Trying to connect again.`);
  announce('No connection', `${ended ? 'walherald has stopped' : 'The connection is lost'}, trying again`);
}

function connect() {
  source?.close();
  tried = performance.now();
  source = new EventSource('events');
  source.addEventListener('history', (e) => { points = JSON.parse(e.data); });
  source.addEventListener('status', (e) => {
    frame = JSON.parse(e.data);
    if (points.at(-1)?.at !== frame.point.at) points.push(frame.point);
    points = points.slice(-keep);
    hear();
    showFrame();
  });
  source.addEventListener('stopping', () => { ended = true; checkLink(); });
}

// watch connects again where the browser gave up, and where a connection that looks
// alive carries nothing.
function watch() {
  checkLink();
  const since = (time) => (performance.now() - time) / 1000;
  const given = source.readyState === EventSource.CLOSED && since(tried) > 2;
  const dumb = since(Math.max(heard ?? 0, tried)) > patience;
  if (given || dumb) connect();
}

startControl(tell);
connect();
setInterval(watch, 1000);
