// Small tools to build the page. Whatever is shown becomes text, never markup: names of
// tables and errors of servers are data. What has not changed is left alone, so that
// focus and selected text survive the next second.

const svgSpace = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

// el makes an element with attributes and children; strings become text.
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(svgSpace, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) set(node, name, value);
  node.append(...children);
  return node;
}

// set gives an attribute its value; null and false take it away.
export function set(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function say(node, text) {
  const now = text ?? '';
  if (node.textContent !== now) node.textContent = now;
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

const kept = new WeakMap();

// list makes the children of parent those of items: make(item) builds a child once,
// update(child, item) brings it up to date. Keys tell items apart.
export function list(parent, items, key, make, update) {
  const before = kept.get(parent) ?? new Map();
  const now = new Map(items.map((item) => [key(item), item]));
  for (const [name, child] of before) if (!now.has(name)) child.remove();
  const after = new Map();
  let at = parent.firstElementChild;
  for (const [name, item] of now) {
    const child = before.get(name) ?? make(item);
    after.set(name, child);
    update(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  kept.set(parent, after);
}

// facts shows [term, text, kind] in a <dl>; those without a text are left out.
export function facts(dl, all) {
  list(dl, all.filter(([, text]) => text !== null && text !== undefined && text !== ''), ([term]) => term,
    ([term]) => el('div', {}, el('dt', {}, term), el('dd')),
    (row, [, text, kind]) => {
      say(row.lastElementChild, text);
      set(row, 'class', kind ?? null);
    });
}

// table shows rows in columns [heading, cell, kind]; cell(row) is a text, or a list of
// nodes with a key, which is made anew when the key changes. On a narrow screen a row
// becomes a block (page.css), and the roles keep it a row for who does not see it.
export function table(parent, caption, columns, rows, key) {
  let whole = parent.firstElementChild;
  if (!whole) {
    const heads = columns.map(([heading, , kind]) => el('th', { scope: 'col', role: 'columnheader', class: kind }, heading));
    whole = el('table', { role: 'table' }, el('caption', {}, caption),
      el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, ...heads)),
      el('tbody', { role: 'rowgroup' }));
    parent.append(whole);
  }
  list(whole.tBodies[0], rows, key,
    () => el('tr', { role: 'row' }, ...columns.map(([heading, , kind], i) => (i === 0
      ? el('th', { scope: 'row', role: 'rowheader', 'data-label': heading, class: kind })
      : el('td', { role: 'cell', 'data-label': heading, class: kind })))),
    (tr, row) => columns.forEach(([, cell], i) => put(tr.children[i], cell(row))));
}

function put(node, content) {
  if (typeof content === 'string') {
    say(node, content);
  } else if (node.dataset.key !== content.key) {
    node.dataset.key = content.key;
    node.replaceChildren(...content.nodes());
  }
}
