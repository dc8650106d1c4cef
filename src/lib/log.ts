import { styleText } from 'node:util'
import { Bug, SyncError } from './errors.ts'
import { printable } from './printable.ts'

/** From the most to the least talkative. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
/** How much a line matters. */
export type LogLevel = (typeof LOG_LEVELS)[number]
/** What a line says beside its message. Errors, bigints and buffers are made readable. */
export type Fields = Record<string, unknown>

/** A structured log. No secret leaves it: see {@link createLog}. */
export type Log = Record<LogLevel, (message: string, fields?: Fields) => void> & {
  /** The same log with these fields on every line. */
  child(fields: Fields): Log
  /** Strikes this text out of every later line, of all children and parents too. The latest hundreds are remembered. */
  hide(secret: string): void
}

/** Where and how to write; each has a sensible default. */
export type LogOptions = {
  level?: LogLevel
  /** For people instead of machines; by default where standard error is a terminal. */
  pretty?: boolean
  write?: (line: string) => void
  now?: () => Date
}

/**
 * Makes a log: one JSON object a line on standard error, `{time, level, message, …}`. Struck out are
 * HubSpot tokens by their form, bearer headers, passwords in URLs, fields named like a secret, and
 * every text handed to `hide`.
 */
export function createLog({
  level = 'info',
  pretty = process.stderr.isTTY,
  write = (line) => void process.stderr.write(line),
  now = () => new Date(),
}: LogOptions = {}): Log {
  const secrets = new Set<string>()
  const lowest = LOG_LEVELS.indexOf(level)

  const line = (at: LogLevel, message: string, fields: Fields) => {
    const head = { time: now().toISOString(), level: at, message }
    // head first to be read first, and last so that no field can stand in its place
    const entry = { ...head, ...(plain(fields) as Fields), ...head }
    const text = pretty ? prettyLine(entry) : JSON.stringify(entry)
    write(`${redact(text, secrets)}\n`)
  }
  const make = (bound: Fields): Log => {
    const at = (which: LogLevel) => (message: string, fields: Fields = {}) => {
      if (LOG_LEVELS.indexOf(which) >= lowest) line(which, message, { ...bound, ...fields })
    }
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (fields) => make({ ...bound, ...fields }),
      hide(secret) {
        // a very short text would strike out half of every line, and is no secret
        if (secret.length < 6) return
        // as it stands, as it stands in JSON, and as it stands in a URL
        for (const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]) {
          // Said again, it is the latest again; tokens that ended long ago go.
          secrets.delete(form)
          secrets.add(form)
        }
        while (secrets.size > MOST_SECRETS) secrets.delete(secrets.values().next().value!)
      },
    }
  }
  return make({})
}

const HIDDEN = '[hidden]'
/** Half an hour a token, two secrets each in up to three forms: some days of them. */
const MOST_SECRETS = 900
const SECRET_FORMS: readonly [RegExp, string][] = [
  [/\bpat-[a-z]{2,}\d*-[\w-]{6,}/gi, HIDDEN],
  [/\b(bearer)\s+[^\s"'\\,;]+/gi, `$1 ${HIDDEN}`],
  [/(\w:\/\/[^\s:/@"']*):[^\s/@"']+@/g, `$1:${HIDDEN}@`],
]

function redact(text: string, secrets: ReadonlySet<string>): string {
  let safe = text
  for (const secret of secrets) safe = safe.replaceAll(secret, HIDDEN)
  for (const [form, instead] of SECRET_FORMS) safe = safe.replace(form, instead)
  return safe
}

const SECRET_FIELD = /^(authorization|cookie|(access|refresh)_?token|client_?secret|password|api_?key|hapikey)$/i

// Six levels hold whatever we log; the limit also ends cycles.
function plain(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Error) return errorFields(value, depth)
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (typeof value !== 'object' || value === null) return value
  if (depth > 6) return '…'
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, SECRET_FIELD.test(key) ? HIDDEN : plain(item, depth + 1)]),
  )
}

// A stack helps where the code is at fault; where HubSpot or a person is, code and hint say more.
function errorFields(error: Error, depth: number): Fields {
  const { name, message, stack, cause } = error
  const ours = error instanceof SyncError && !(error instanceof Bug)
  const own = Object.fromEntries(Object.entries(error).filter(([key]) => key !== 'cause' && key !== 'name'))
  const fields = { name, message, ...own, ...(cause === undefined ? {} : { cause }), ...(ours ? {} : { stack }) }
  return depth > 6 ? { name, message } : (plain(fields, depth + 1) as Fields)
}

const COLOURS = { debug: 'gray', info: 'green', warn: 'yellow', error: 'red' } as const

function prettyLine({ time, level, message, ...fields }: Fields & { time: string; level: LogLevel; message: string }) {
  const tail = Object.entries(fields).map(([key, value]) => {
    const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
    return ` ${styleText('gray', `${printable(key)}=`, { stream: process.stderr })}${printable(text)}`
  })
  const mark = styleText(COLOURS[level], level.padEnd(5), { stream: process.stderr })
  return `${time.slice(11, 23)} ${mark} ${printable(message)}${tail.join('')}`
}
