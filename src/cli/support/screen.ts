import { stripVTControlCharacters, styleText } from 'node:util'

/** Where a command shows something. */
export type Out = NodeJS.WriteStream

/** Rows with their columns aligned; `right` are the columns, counted from 0, that end at one line. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, width(cell))
  }
  return rows
    .map((row) =>
      row
        .map((cell, at) => {
          const room = ' '.repeat(widths[at]! - width(cell))
          return right.includes(at) ? room + cell : cell + room
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const width = (text: string) => stripVTControlCharacters(text).length

/** A colour or weight where the stream shows such, and nothing where it does not. */
export function paint(style: Parameters<typeof styleText>[0], text: string, stream: Out = process.stdout): string {
  return stream.isTTY ? styleText(style, text, { stream }) : text
}

/** A bar of a share between 0 and 1. */
export function bar(share: number, cells = 24): string {
  const full = Math.round(Math.min(Math.max(share, 0), 1) * cells)
  return `${'█'.repeat(full)}${'░'.repeat(cells - full)}`
}

/** A whole number with its thousands apart. */
export function count(number: number | string | bigint): string {
  return Number(number).toLocaleString('en-US')
}

/** Hides a terminal's cursor until it is given back, however the process ends. */
export function hideCursor(out: Out): Disposable {
  const show = () => void out.write('\x1b[?25h')
  if (!out.isTTY) return { [Symbol.dispose]: () => undefined }
  process.once('exit', show)
  out.write('\x1b[?25l')
  return {
    [Symbol.dispose]() {
      process.removeListener('exit', show)
      show()
    },
  }
}

/** Lines that are shown in place on a terminal; elsewhere each picture is written when it changed, now and then. */
export class Picture {
  readonly #out: Out
  readonly #everyMs: number
  #height = 0
  #room = 0
  #shown = ''
  #shownAt = -Infinity

  /** `everyMs`: how often at most a picture is written where it cannot be drawn over. */
  constructor(out: Out = process.stdout, everyMs = 2_000) {
    this.#out = out
    this.#everyMs = everyMs
  }

  /** Shows these lines in place of the last ones. */
  show(text: string): void {
    if (!this.#out.isTTY) {
      const now = performance.now()
      if (text === this.#shown || now - this.#shownAt < this.#everyMs) return
      this.#shown = text
      this.#shownAt = now
      this.#out.write(`${text}\n`)
      return
    }
    // A terminal that does not tell its size says 0.
    const [room, height] = [this.#out.columns || 80, this.#out.rows || 24]
    // A line that wraps would be two when it is drawn over.
    const lines = text.split('\n').slice(0, height - 1).map((line) => (width(line) < room ? line : stripVTControlCharacters(line).slice(0, room - 1)))
    // Each line is written over the last one and cleared behind its end, all of it at once: nothing is empty in between.
    const drawn = lines.map((line) => `${line}\x1b[K\n`).join('')
    this.#out.write(`\x1b[?2026h${this.#up(room)}${drawn}\x1b[J\x1b[?2026l`)
    this.#height = lines.length
    this.#shown = lines.join('\n')
  }

  /** Writes a line above the picture, which stays. */
  above(line: string): void {
    if (!this.#out.isTTY) {
      this.#out.write(`${line}\n`)
      return
    }
    const picture = this.#height > 0 ? `${this.#shown}\n` : ''
    this.#out.write(`${this.#up(this.#room)}\x1b[J${line}\n${picture}`)
  }

  /** Leaves what is shown as it stands, as the last word; the next picture comes below. */
  end(text?: string): void {
    if (text !== undefined) {
      this.#shownAt = -Infinity
      this.show(text)
    }
    this.#height = 0
    this.#shown = ''
    this.#shownAt = -Infinity
  }

  /** To where the picture begins. A terminal of another width has wrapped it anew, nobody knows how: then all is cleared. */
  #up(room: number): string {
    const isOther = this.#room !== room
    this.#room = room
    if (this.#height === 0) return ''
    return isOther ? '\x1b[2J\x1b[H' : `\x1b[${this.#height}A\r`
  }
}
