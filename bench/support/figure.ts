/** One line of what a benchmark came to. */
export type Figure = {
  /** Its number in the list of goals. */
  number: number
  name: string
  /** The measured figure, in the goal's unit. */
  value: number
  unit: '%' | '×' | 'rows/s' | 'MB' | 'B' | 'calls' | 'µs' | 'rows' | 'cores' | 'ms' | 's'
  goal: { least: number } | { most: number } | null
  /** What it was made from. */
  from: string
}

/** Prints figures beside their goals. */
export function printFigures(figures: readonly Figure[]): void {
  for (const { number, name, value, unit, goal, from } of figures) {
    const wanted = goal === null ? '' : 'least' in goal ? `goal ≥ ${goal.least}` : `goal ≤ ${goal.most}`
    const isMet = goal === null || ('least' in goal ? value >= goal.least : value <= goal.most)
    const shown = Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString('en') : Number(value.toPrecision(3))
    console.log(`${isMet ? ' ' : '!'} ${number}  ${name}: ${shown} ${unit}  ${wanted}  (${from})`)
  }
}
