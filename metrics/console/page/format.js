// Figures for people, as the server writes them in its sentences.

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const solid = '\u00a0'; // a space at which no line ends, so that units stay with their numbers
const tenth = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 1 });

export const number = (v) => (Math.abs(v) < 10 ? tenth : whole).format(v);

export const rate = (v) => `${number(v)}/s`;

// size is in the units that PostgreSQL uses, powers of 1024.
export function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let v = Math.max(bytes, 0);
  let i = 0;
  for (; v >= 1024 && i < units.length - 1; i++) v /= 1024;
  return `${i === 0 ? whole.format(v) : number(v)}${solid}${units[i]}`;
}

export const duration = (seconds) => words(seconds).replaceAll(' ', solid);

function words(seconds) {
  const s = Math.max(seconds, 0);
  const minutes = Math.floor(s / 60);
  const hours = Math.floor(minutes / 60);
  if (s > 0 && s < 0.0995) return `${s < 0.0095 ? (s * 1000).toFixed(1) : Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (hours < 2) return `${minutes} min`;
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// delay is a latency, which is unknown where nothing was confirmed.
export const delay = (seconds) => (seconds === null || seconds === undefined ? '–' : duration(seconds));

// clock is the time of day of the one who reads, with the day where it is another one.
export function clock(time) {
  const at = new Date(time);
  const day = at.toDateString() === new Date().toDateString() ? '' : `${at.toISOString().slice(0, 10)} `;
  return day + at.toLocaleTimeString('en-GB');
}
