// The charts: five minutes of throughput, lag and latency, drawn in a box of 300 by 80.

import { byId, el, list, say, set, svg } from './dom.js';
import { delay, duration, rate, size } from './format.js';

const span = 300;
const height = 80;

// worst is the highest value of the outputs of a point, null where none has one.
const worst = (point, what) => point.outputs.reduce(
  (high, o) => (o[what] === null ? high : Math.max(high ?? 0, o[what])), null);

const sum = (point) => point.outputs.reduce((all, o) => all + o.published, 0);

const charts = [
  {
    key: 'throughput', title: 'Throughput', write: rate, least: 1,
    lines: [['read', (p) => p.changes], ['confirmed, all outputs', sum]],
  },
  { key: 'bytes', title: 'Lag in bytes', write: size, least: 1024, lines: [['not yet told to the server', (p) => p.lagBytes]] },
  { key: 'seconds', title: 'Lag in seconds', write: duration, least: 1, lines: [['oldest unconfirmed commit', (p) => p.lagSeconds]] },
  {
    key: 'latency', title: 'Commit to confirmation', write: delay, least: 0.001,
    lines: [['median', (p) => worst(p, 'p50')], ['99 %, slowest output', (p) => worst(p, 'p99')]],
  },
];

// path joins the points that there are; unknown ones leave a gap.
function path(points, value, top) {
  const end = Date.parse(points.at(-1).at);
  let pen = 'M';
  let text = '';
  for (const p of points) {
    const v = value(p);
    if (v === null) {
      pen = 'M';
      continue;
    }
    const x = span - (end - Date.parse(p.at)) / 1000;
    text += `${pen}${x.toFixed(1)} ${(height - 1 - (v / top) * (height - 3)).toFixed(1)}`;
    pen = 'L';
  }
  return text;
}

const under = (line, first) => (line.lastIndexOf('M') === 0 ? `${line}L${span} ${height}L${first} ${height}Z` : '');

function make(chart) {
  const swatch = (i) => svg('svg', { class: 'swatch', viewBox: '0 0 18 6', 'aria-hidden': 'true' },
    svg('path', { class: `line line-${i}`, d: 'M0 3L18 3' }));
  return el('figure', {},
    el('figcaption', {}, el('span', { class: 'name' }, chart.title), el('span', { class: 'peak' })),
    svg('svg', { class: 'plot', viewBox: `0 0 ${span} ${height}`, preserveAspectRatio: 'none', role: 'img' },
      svg('path', { class: 'area' }),
      ...chart.lines.map((_, i) => svg('path', { class: `line line-${i}` }))),
    el('ul', { class: 'legend' }, ...chart.lines.map(([name], i) => el('li', {}, swatch(i), `${name} `, el('b')))));
}

function draw(figure, chart, points) {
  const values = chart.lines.flatMap(([, value]) => points.map(value)).filter((v) => v !== null);
  const peak = values.length ? Math.max(...values) : null;
  const top = Math.max(peak ?? 0, chart.least);
  const plot = figure.querySelector('.plot');
  const lines = chart.lines.map(([, value]) => path(points, value, top));
  const first = span - (Date.parse(points.at(-1).at) - Date.parse(points[0].at)) / 1000;
  chart.lines.forEach(([, value], i) => {
    set(plot.querySelectorAll('.line')[i], 'd', lines[i]);
    const last = value(points.at(-1));
    say(figure.querySelectorAll('.legend b')[i], last === null ? '–' : chart.write(last));
  });
  set(plot.querySelector('.area'), 'd', under(lines[0], first));
  const most = peak === null ? 'nothing measured' : `peak ${chart.write(peak)}`;
  say(figure.querySelector('.peak'), most);
  set(plot, 'aria-label', `${chart.title}, last five minutes: ${most}`);
}

export function drawCharts(points) {
  if (points.length === 0) return;
  list(byId('charts'), charts, (c) => c.key, make, (figure, c) => draw(figure, c, points));
}

// spark is the throughput of one output.
export const makeSpark = () => svg('svg', {
  class: 'spark', viewBox: `0 0 ${span} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true',
}, svg('path', { class: 'line line-0' }));

export function drawSpark(node, points, name) {
  const value = (p) => p.outputs.find((o) => o.name === name)?.published ?? null;
  const top = Math.max(1, ...points.map(value));
  set(node.firstElementChild, 'd', points.length ? path(points, value, top) : '');
}
