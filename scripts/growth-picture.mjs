#!/usr/bin/env node
// Draws docs/growth.svg from the figures of `multi-node-bench growth --json`:
// `target/release/multi-node-bench growth --json > growth.json; node scripts/growth-picture.mjs growth.json docs/growth.svg`.
import { readFileSync, writeFileSync } from 'node:fs';

const [source, target] = process.argv.slice(2);
if (!target) throw new Error('node scripts/growth-picture.mjs FIGURES.json PICTURE.svg');
const figures = JSON.parse(readFileSync(source, 'utf8'));

/** Each picture: its title, the rows, the figure that it shows, and whether that grows by factors. */
const PICTURES = [
  ['nodes: CPU µs a request', figures.nodes, 'cpu_micros_per_request'],
  ['connections: CPU µs a request', figures.connections, 'cpu_micros_per_request'],
  ['nodes: p99, ms', figures.nodes, 'p99_ms'],
  ['connections: p99, ms', figures.connections, 'p99_ms'],
  ['start of nodes, ms', figures.starts, 'ms', true],
  ['KiB of an idle connection', figures.connections, 'kib_per_idle_connection'],
];
/** A place in the grid, and the drawing in it. */
const [WIDTH, HEIGHT, COLUMNS] = [320, 170, 2];
const PLOT = { left: 48, top: 34, width: 256, height: 104 };
const COLORS = { 'multi-node': '#a6e3a1', reuseport: '#fab387' };

/** The place of a value between the least and the most, from 0 to 1, by factors or evenly. */
function scale(least, most, byFactors) {
  const of = byFactors ? Math.log : (value) => value;
  return (value) => (most === least ? 0.5 : (of(value) - of(least)) / (of(most) - of(least)));
}

/** The next of 1, 2 and 5, times a power of ten. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => step * power >= value * 0.999);
}

const short = (value) => (value >= 1000 ? `${+(value / 1000).toPrecision(2)}k` : `${+value.toPrecision(2)}`);
const text = (x, y, words, rest = '') => `<text x="${x.toFixed(0)}" y="${y.toFixed(0)}" ${rest}>${words}</text>`;

function draw([title, rows, figure, byFactors], index) {
  const [left, top] = [(index % COLUMNS) * WIDTH + PLOT.left, Math.floor(index / COLUMNS) * HEIGHT + PLOT.top + 28];
  const sizes = [...new Set(rows.map((row) => row.size))];
  const values = rows.map((row) => row[figure].median);
  const least = byFactors ? Math.min(...values) : 0;
  const most = roundUp(Math.max(...values));
  const [toX, toY] = [scale(sizes[0], sizes.at(-1), true), scale(least, most, byFactors)];
  const x = (size) => left + toX(size) * PLOT.width;
  const y = (value) => top + (1 - toY(value)) * PLOT.height;
  const lines = Object.entries(COLORS).map(([server, color]) => {
    const points = rows.filter((row) => row.server === server).map((row) => `${x(row.size).toFixed(1)},${y(row[figure].median).toFixed(1)}`);
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`;
  });
  const marks = byFactors ? [least, Math.sqrt(least * most), most] : [0, most / 2, most];
  const grid = marks.map((mark) => {
    const line = `<path d="M${left} ${y(mark).toFixed(1)}h${PLOT.width}" stroke="#45475a"/>`;
    return line + text(left - 6, y(mark) + 4, short(mark), 'text-anchor="end" fill="#a6adc8"');
  });
  const below = sizes.map((size) => text(x(size), top + PLOT.height + 16, size >= 1000 ? short(size) : size, 'text-anchor="middle" fill="#a6adc8"'));
  return [text(left - 36, top - 12, title), ...grid, ...lines, ...below].join('\n');
}

const legend = Object.entries(COLORS).map(([server, color], index) => text(16 + index * 110, 24, server, `fill="${color}"`));
const [width, height] = [WIDTH * COLUMNS, HEIGHT * Math.ceil(PICTURES.length / COLUMNS) + 36];
writeFileSync(
  target,
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>More nodes, more connections, more processes: multi-node beside hand-made prefork</title>
<rect width="100%" height="100%" rx="8" fill="#1e1e2e"/>
<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="11" fill="#cdd6f4">
${[...legend, ...PICTURES.map(draw)].join('\n')}
</g>
</svg>
`,
);
