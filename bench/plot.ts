export interface Sample {
  readonly seconds: number
  /** Entries. */
  readonly lag: number
  /** Megabytes. */
  readonly memory: number
}

const [WIDTH, HEIGHT, MARGIN] = [900, 220, 60]

/** Two curves over time, one above the other, as an SVG document. */
export function plot(samples: readonly Sample[]): string {
  const curves = [curve(samples, 'lag', 'lag, entries', 0), curve(samples, 'memory', 'memory, MB', HEIGHT)]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${2 * HEIGHT}" font-family="sans-serif" font-size="12">
<title>Lag and memory over time</title>
<rect width="100%" height="100%" fill="white"/>${curves.join('')}</svg>\n`
}

function curve(samples: readonly Sample[], name: 'lag' | 'memory', title: string, top: number): string {
  const most = Math.max(1, ...samples.map((sample) => sample[name]))
  const last = Math.max(1, samples.at(-1)?.seconds ?? 1)
  const x = (seconds: number) => MARGIN + (seconds / last) * (WIDTH - 2 * MARGIN)
  const y = (value: number) => top + HEIGHT - 30 - (value / most) * (HEIGHT - 60)
  const points = samples.map((sample) => `${x(sample.seconds).toFixed(1)},${y(sample[name]).toFixed(1)}`).join(' ')
  return `
<text x="${MARGIN}" y="${top + 18}">${title}</text><text x="${MARGIN - 6}" y="${y(most) + 4}" text-anchor="end">${most}</text>
<text x="${MARGIN - 6}" y="${y(0) + 4}" text-anchor="end">0</text><text x="${WIDTH - MARGIN}" y="${y(0) + 16}" text-anchor="end">${last} s</text>
<line x1="${MARGIN}" x2="${WIDTH - MARGIN}" y1="${y(0)}" y2="${y(0)}" stroke="#999"/><polyline points="${points}" fill="none" stroke="#06c" stroke-width="1.5"/>`
}
