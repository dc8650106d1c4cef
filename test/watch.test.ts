import { EventEmitter } from 'node:events'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { watchStatus } from '../src/cli/status.ts'
import type { Out } from '../src/cli/support/screen.ts'
import { Picture } from '../src/cli/support/screen.ts'
import { page, type Status } from '../src/cli/support/status-page.ts'
import { type Database, openDatabase } from '../src/db/database.ts'
import { runCli, startCli } from './support/cli.ts'
import { pagesOf, startWorld, type World } from './support/sync.ts'

// contacts is live with a problem, deals half loaded, a worker lives.
let world: World
beforeAll(async () => {
  world = await startWorld('watch', { sandbox: { objects: { contacts: 20, deals: 100 } }, client: pagesOf(10) })
  await world.load('contacts', ['hs_email_open'])
  const [first] = [...world.store.records('contacts')]
  world.store.edit('contacts', first!.id, { hs_email_open: 'many' })
  await world.pass(20_000)
  await world.db.query(`select hubspot.configure('max_ranges', 1), hubspot.track('deals', '{dealname}')`)
  await world.run('deals', 'schema')
  await world.run('deals', 'archive')
  for (let page = 0; page < 6; page += 1) await world.run('deals', 'backfill', 0, { ...world.deps, sliceMs: 0 })
  await world.db.query(`select hubspot_private.worker_beat('one', 'here', 4711, '{}')`)
})
afterAll(() => world[Symbol.asyncDispose]())

/** A terminal in memory: what it shows, and whether any of its lines was ever seen empty or its cursor hidden. */
class Terminal extends EventEmitter {
  isTTY = true
  columns = 200
  rows = 50
  written: string[] = []
  lines: string[] = ['']
  row = 0
  column = 0
  isCursorShown = true
  write(text: string): boolean {
    this.written.push(text)
    for (const [token, private_, number = '', letter] of text.matchAll(/\x1b\[(\?)?(\d*)([A-Za-z])|[^]/g)) { // oxlint-disable-line no-control-regex -- that is what terminals are told by
      const line = this.lines[this.row] ?? ''
      if (letter === 'A') this.row -= Number(number)
      else if (letter === 'K') this.lines[this.row] = line.slice(0, this.column)
      else if (letter === 'J' && number === '2') [this.lines, this.row, this.column] = [[''], 0, 0]
      else if (letter === 'J') this.lines = [...this.lines.slice(0, this.row), line.slice(0, this.column)]
      else if (private_ && number === '25') this.isCursorShown = letter === 'h'
      else if (letter === 'H') [this.row, this.column] = [0, 0]
      else if (letter === undefined && token === '\n') [this.row, this.column] = [this.row + 1, 0]
      else if (letter === undefined && token === '\r') this.column = 0
      else if (letter === undefined) this.lines[this.row] = line.slice(0, this.column).padEnd(this.column) + token + line.slice(++this.column)
    }
    this.emit('wrote')
    return true
  }
  text = () => this.lines.join('\n').trimEnd()
  out = () => this as unknown as Out
  hasColors = () => false
  getColorDepth = () => 1
}

/** Watches until the terminal was written to so often. */
async function watch(terminal: Terminal, pictures: number, between: (nth: number) => unknown = () => undefined, database?: Database): Promise<void> {
  const db = database ?? openDatabase(world.db.url, { max: 1 })
  const over = new AbortController()
  let nth = 0
  terminal.on('wrote', () => {
    if (!terminal.written.at(-1)!.includes('object')) return
    nth += 1
    if (nth >= pictures) over.abort(new Error('SIGINT'))
    else void between(nth)
  })
  await watchStatus(db, { intervalMs: 100, json: false, signal: over.signal, out: terminal.out() })
  if (database === undefined) await db.close()
}

describe('status --watch', () => {
  test('on a terminal: objects, progress, budgets, workers and problems in place; the cursor comes back', async () => {
    const terminal = new Terminal()
    await watch(terminal, 3)
    const text = stripVTControlCharacters(terminal.text())
    expect(text).toMatch(/^object +state +rows +progress +eta +lag +complete until/)
    expect(text).toMatch(/\ncontacts +live +20 +█{16} +100 % +\d/)
    expect(text).toMatch(/\ndeals +backfilling +\d\d +█+░+ +\d+ % /)
    expect(text).toMatch(/\nburst +100,000,000 per 10 s/)
    expect(text).toMatch(/\ndaily +100,000,000 per 1 d +░+ [\d,]+ used, [\d,]+ left/)
    expect(text).toContain('\nworker 4711 on here  reads')
    expect(text).toMatch(/\nSH209 contacts \d+ hs_email_open: value of hs_email_open is not a numeric: many/)
    expect(text.match(/^object/gm)).toHaveLength(1)
    expect(terminal.isCursorShown).toBe(true)
    expect(terminal.written[0]).toBe('\x1b[?25l')
    expect(terminal.written.at(-1)).toBe('\x1b[?25h')
    // Never cleared before it is drawn.
    expect(terminal.written.filter((one) => one.includes('\x1b[2J'))).toEqual([])
  })

  test('shows what messages quote, and does none of what that asks of a terminal', async () => {
    const value = 'x\u001b]0;PWNED\u0007\u001b[2J\u001b[31mfake\r\nline two\u009b2J\u202egnp.exe'
    await world.db.query(`insert into hubspot_private.problems (object, record_id, property, code, message, first_seen_at, last_seen_at)
      values ('contacts', 1, 'amount', 'SH209', $1, now(), now() + interval '1 minute')`, [value])
    try {
      const terminal = new Terminal()
      await watch(terminal, 2)
      expect(terminal.text()).toContain('x\\u001b]0;PWNED\\u0007\\u001b[2J\\u001b[31mfake line two\\u009b2J\\u202egnp.exe')
      expect(terminal.written.join('')).not.toMatch(/\u001b\]|\u0007|\u009b|\u202e|\r\n|\u001b\[31mfake/) // oxlint-disable-line no-control-regex -- none of them is to be there
      const [{ seen }] = (await world.db.query(`select jsonb_build_object('objects', '[]'::jsonb, 'health', jsonb_build_array(jsonb_build_object('name', 'account', 'ok', false, 'message', $1::text, 'hint', null))) as seen`, [value])) as [{ seen: Status }]
      expect(page(seen)).toContain('account: x\\u001b]0;PWNED')
      const { stdout } = await runCli(['status', '--json'], { env: { DATABASE_URL: world.db.url } })
      expect((JSON.parse(stdout) as Status).problems.map(({ message }) => message)).toContain(value)
    } finally {
      await world.db.query("delete from hubspot_private.problems where property = 'amount'")
    }
  })

  test('a shorter picture leaves nothing of a longer one; a terminal of another width is drawn anew; what does not fit is cut', () => {
    const terminal = new Terminal()
    const picture = new Picture(terminal.out())
    terminal.write('$ pg-hubspot status --watch\n')
    picture.show('one long line\ntwo\nthree')
    picture.show('1\ntwo lines')
    expect(terminal.text()).toBe('$ pg-hubspot status --watch\n1\ntwo lines')
    picture.above('a note')
    picture.show('2')
    expect(terminal.text()).toBe('$ pg-hubspot status --watch\na note\n2')
    terminal.columns = 10
    terminal.rows = 4
    picture.show('a line that is too long\nb\nc\nd\ne')
    expect(terminal.text()).toBe('a line th\nb\nc')
  })

  test('goes on while the database is away, with what it last knew', async () => {
    const terminal = new Terminal()
    const database = openDatabase(world.db.url, { max: 1 })
    const query = database.pool.query.bind(database.pool) as (...args: unknown[]) => Promise<unknown>
    let isAway = false
    const away = () => Promise.reject(Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' }))
    Object.assign(database.pool, { query: (...args: unknown[]) => (isAway ? away() : query(...args)) })
    const seen: string[] = []
    await watch(terminal, 4, (nth) => {
      seen.push(terminal.text())
      isAway = nth === 1 || nth === 2
    }, database)
    await database.close()
    expect(seen[0]).not.toContain('away')
    expect(seen[1]).toMatch(/contacts +live[^]*! the database is away: connect ECONNREFUSED 127\.0\.0\.1:5432\. It is asked again\./)
    expect(terminal.text()).not.toContain('away')
  })

  test('without a terminal: a block each time, or a line of JSON; SIGINT ends it with 0', async () => {
    const env = { DATABASE_URL: world.db.url }
    await using blocks = startCli(['status', '--watch', '--interval', '100ms'], { env })
    await using lines = startCli(['status', '--watch', '--interval', '100ms', '--json'], { env })
    await blocks.said(/(object +state[^]*){3}/)
    await lines.said(/(\{.*\}\n){3}/)
    for (const running of [blocks, lines]) running.child.kill('SIGINT')
    const [text, json] = await Promise.all([blocks.ended, lines.ended])
    expect(text).toMatchObject({ code: 0, stderr: '' })
    expect(json).toMatchObject({ code: 0, stderr: '' })
    expect(text.stdout).not.toContain('\x1b')
    const all = json.stdout.trim().split('\n').map((line) => JSON.parse(line) as Status)
    expect(all.length).toBeGreaterThanOrEqual(3)
    expect(all[0]).toMatchObject({
      objects: [{ object: 'contacts', state: 'live', rows: 20, problems: 1 }, { object: 'deals', state: 'backfilling' }],
      workers: [{ pid: 4711, host: 'here' }],
      problems: [{ code: 'SH209', property: 'hs_email_open' }],
      quota: [{ budget: 'burst', period_seconds: 10 }, { budget: 'daily' }, { budget: 'search' }],
    })
    expect(page(all[0]!)).toContain('contacts')
  })
})
