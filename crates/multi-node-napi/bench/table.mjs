// Figures of several rounds, and how they are printed.

export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
}

/** The median and, in brackets, the extremes. */
export function show(numbers, decimals) {
  if (numbers.length === 0) return '-';
  const [middle, least, most] = [median(numbers), Math.min(...numbers), Math.max(...numbers)].map((number) => number.toFixed(decimals));
  return `${middle} (${least}–${most})`;
}

/** What this variant has in each round, as a multiple of what the other has in the same round. */
export function ratios(mine, others, field) {
  return mine.flatMap((round, index) => (round && others[index] ? [round[field] / others[index][field]] : []));
}

/** Prints rows of cells under a head, each column as wide as its widest cell: the first to the left, the others to the right. */
export function print(title, head, rows) {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column].length)));
  console.log(`\n${title}`);
  for (const row of [head, ...rows]) console.log(row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('  '));
}
