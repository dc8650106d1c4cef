import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { backoffMs } from '../src/lib/backoff.ts'
import { Bug, Transient } from '../src/lib/errors.ts'
import { createLog, type LogOptions } from '../src/lib/log.ts'
import { formatDuration, parseDuration, sleep } from '../src/lib/time.ts'

describe('back-off', () => {
  test('doubles from a second to an hour, each wait longer than the one before', () => {
    const lowest = Array.from({ length: 14 }, (_, i) => backoffMs(i + 1, { random: () => 0 }))
    expect(lowest).toEqual([...Array.from({ length: 11 }, (_, i) => 1_000 * 2 ** i), 1_800_000, 1_800_000, 1_800_000])
  })

  test('is jittered over a whole step and never leaves its bounds', () => {
    const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(fc.oneof(fc.integer(), fc.double()), unit, (attempt, at) => {
        const ms = backoffMs(attempt, { random: () => at })
        expect(Number.isInteger(ms) && ms >= 1_000 && ms < 3_600_000).toBe(true)
      }),
    )
    expect(backoffMs(3, { random: () => 0.999_999 })).toBe(7_999)
    expect(new Set(Array.from({ length: 50 }, () => backoffMs(20))).size).toBeGreaterThan(40)
  })
})

describe('sleep', () => {
  test('never ends early, in dozens of tries', async () => {
    const early = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        const ms = 1 + i * 0.37
        const from = performance.now()
        await sleep(ms)
        return performance.now() - from < ms
      }),
    )
    expect(early).not.toContain(true)
  })

  test('does not end at once because it is long, as a timer beyond 2^31 ms does', async () => {
    const stop = new AbortController()
    const long = [2 ** 31, 30 * 86_400_000, Infinity].map((ms) => sleep(ms, stop.signal).catch(() => 'stopped'))
    expect(await Promise.race([...long, sleep(30).then(() => 'still asleep')])).toBe('still asleep')
    stop.abort()
    expect(await Promise.all(long)).toEqual(['stopped', 'stopped', 'stopped'])
  })

  test('ends with the signal, and leaves nothing on it', async () => {
    const stop = new AbortController()
    const reason = new Error('stop')
    setTimeout(() => stop.abort(reason), 5)
    await expect(sleep(60_000, stop.signal)).rejects.toBe(reason)
    await expect(sleep(0, stop.signal)).rejects.toBe(reason)

    const added = vi.spyOn(EventTarget.prototype, 'addEventListener')
    const removed = vi.spyOn(EventTarget.prototype, 'removeEventListener')
    await sleep(1, new AbortController().signal)
    expect(removed.mock.calls.length).toBe(added.mock.calls.length)
    expect(added).toHaveBeenCalled()
    vi.restoreAllMocks()
  })
})

describe('durations', () => {
  test.each([
    ['10 min', 600_000],
    ['1h30m', 5_400_000],
    ['1 hour, 30 minutes', 5_400_000],
    ['2 Days', 172_800_000],
    ['1w', 604_800_000],
    ['1.5 s', 1_500],
    ['500ms', 500],
    [' 0 s ', 0],
  ])('%s is read', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  test.each(['', '10', 'soon', '10 parsecs', '-5 s', '5 s!', 's', '1e3 s', '5 s 10'])('%j is not', (text) => {
    expect(() => parseDuration(text)).toThrow(expect.objectContaining({ code: 'SH104' }))
  })

  test.each([
    [0, '0 ms'],
    [249.6, '250 ms'],
    [999.7, '1 s'],
    [3_240, '3.2 s'],
    [59_400, '59 s'],
    [59_900, '1 min'],
    [250_000, '4 min 10 s'],
    [3_599_900, '1 h'],
    [3_900_000, '1 h 5 min'],
    [86_399_000, '1 d'],
    [183_600_000, '2 d 3 h'],
    [4_000_000_000, '46 d 7 h'],
  ])('%d ms are written as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })

  test('that were written are read to the same, but for what was rounded off', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 10 }), (ms) => {
        const again = parseDuration(formatDuration(ms))
        expect(formatDuration(again)).toBe(formatDuration(ms))
        expect(Math.abs(again - ms)).toBeLessThanOrEqual(Math.max(ms / 40, 1))
      }),
    )
  })
})

describe('the log', () => {
  const logging = (options: LogOptions = {}) => {
    const lines: string[] = []
    const now = () => new Date('2026-11-23T12:00:00.123Z')
    return { lines, log: createLog({ write: (line) => void lines.push(line), now, pretty: false, ...options }) }
  }

  test('writes one JSON object a line, a child with its fields, from its level on', () => {
    const { lines, log } = logging()
    log.debug('unheard')
    log.child({ stream: 'poll' }).child({ object: 'deals' }).info('a page\nof two lines', { rows: 100n, message: 'x' })
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { time: '2026-11-23T12:00:00.123Z', level: 'info', message: 'a page\nof two lines', stream: 'poll', object: 'deals', rows: '100' },
    ])
    expect(lines[0]).toMatch(/^[^\n]*\n$/)
  })

  test('for people is a line that a terminal only shows; for machines it is exact', () => {
    const text = 'a\u001b[2J\r\nb\u009b\u202ec\u007f\td'
    const people = logging({ pretty: true })
    people.log.info(text, { value: text, more: [text], [text]: 1 })
    const [line = ''] = people.lines
    const shown = 'a\\u001b[2J b\\u009b\\u202ec\\u007f d'
    expect(stripVTControlCharacters(line)).toMatch(/^[ -~]*\n$/)
    expect(line.split(shown)).toHaveLength(4)
    const { lines, log } = logging()
    log.info(text, { value: text })
    expect(JSON.parse(lines[0]!)).toMatchObject({ message: text, value: text })
  })

  test('shows of an error what helps: code, hint and detail of ours, the stack of a fault', () => {
    const { lines, log } = logging()
    const cause = new Error('reset')
    log.error('failed', { error: new Transient('SH206', 'gone', { hint: 'wait', detail: { status: 0 }, cause }) })
    log.error('failed', { error: new Bug('never') })
    const [transient, bug] = lines.map((line) => JSON.parse(line).error)
    expect(transient).toMatchObject({ name: 'Transient', code: 'SH206', message: 'gone', hint: 'wait', detail: { status: 0 } })
    expect(transient.cause).toMatchObject({ message: 'reset', stack: expect.stringContaining('lib.test.ts') })
    expect(transient).not.toHaveProperty('stack')
    expect(bug.stack).toContain('lib.test.ts')
  })

  test('takes whatever it is handed', () => {
    const { lines, log } = logging()
    const circle: Record<string, unknown> = {}
    circle['self'] = circle
    const error = new Error('loop')
    error.cause = error
    log.info('odd', { circle, error, body: Buffer.alloc(5), at: new Date(Number.NaN), none: undefined, symbol: Symbol('s') })
    expect(JSON.parse(lines[0]!)).toMatchObject({ body: '5 bytes', at: null, error: { message: 'loop' } })
  })

  test.each([true, false])('holds no secret (pretty: %s)', (pretty) => {
    const { lines, log } = logging({ pretty })
    const odd = 'a"b\\c%/d+e'
    log.child({ stream: 'poll' }).hide(odd)
    log.hide('x')
    log.info(`token pat-na1-0123abcd-feed, Authorization: Bearer CJ_x.y/z== and ${odd}`, {
      access_token: 'one-secret',
      nested: [{ clientSecret: 'two-secret', url: `https://x/?t=${encodeURIComponent(odd)}` }],
      database: 'postgres://me:three-secret@localhost/db',
      error: new Error(`with ${odd} and pat-eu1-99999999`, { cause: { password: 'four-secret' } }),
    })
    expect(lines[0]).not.toMatch(/0123abcd|CJ_x|one-secret|two-secret|three-secret|four-secret|99999999|c%\/d|c%25/)
    expect(lines[0]).toContain('postgres://me:[hidden]@localhost/db')
    expect(lines[0]).toContain('https://x/?t=[hidden]')
    if (!pretty) expect(JSON.parse(lines[0]!).access_token).toBe('[hidden]')
  })
})
