import { beforeAll, describe, expect, test } from 'vitest'
import { acts, loadParser } from '../src/gateway/query.ts'
import { guessed } from '../src/gateway/query/guess.ts'
import { idsOf } from '../src/gateway/query/ids.ts'
import { lex } from '../src/gateway/query/lex.ts'
import { measure } from '../src/gateway/query/measure.ts'
import { type Beginning, note } from '../src/gateway/query/replay.ts'
import { templateOf } from '../src/gateway/query/template.ts'
import { isCommit, isSingle, shown, Statements } from '../src/gateway/session/statements.ts'
import { bind, parse, query, readQuery } from '../src/gateway/wire/messages.ts'
import { checkSignature } from '../src/hubspot/signature.ts'
import type { LiveSession } from '../src/gateway/live.ts'
import { createLog } from '../src/lib/log.ts'
import { printable, printableLines } from '../src/lib/printable.ts'

// Whatever strangers send is looked at in a time that grows as its length does: a megabyte made to be slow at is done within a moment.
const MOST_MS = 1_500
const many = (what: string) => what.repeat(Math.ceil(1_000_000 / what.length))

beforeAll(loadParser)

function quickly(what: () => unknown): void {
  // Of this process: others' work does not count.
  const begun = process.cpuUsage()
  what()
  const { user, system } = process.cpuUsage(begun)
  expect((user + system) / 1_000).toBeLessThan(MOST_MS)
}

describe('a parameter or a constant', () => {
  test.for<[string, string]>([
    ['zeros and a letter', `${many('0')}x`], ['blanks', many(' ')], ['blanks and a letter', `${many(' ')}x`], ['a digit and blanks', `1${many(' ')}x`],
    ['a fraction', `1.${many('0')}x`], ['points', many('.')], ['signs', many('+')], ['digits', many('1')],
  ])('of %s', ([, text]) => {
    quickly(() => idsOf([{ text }], []))
    quickly(() => idsOf([{ param: 1, isArray: false }], [{ value: Buffer.from(text), isBinary: false }]))
    quickly(() => idsOf([{ param: 1, isArray: true }], [{ value: Buffer.from(`{${text}}`), isBinary: false }]))
  })

  test.for<[string, string]>([
    ['commas', `{${many(',')}}`], ['quotes', `{${many('"')}}`], ['braces', many('{')], ['braces that close', `{${many('}')}`], ['blanks', `{${many(' ')}`],
    ['quotes in lines', `{"${many('\n"')}`], ['backslashes', `{${many('\\')}}`],
  ])('that is an array of %s', ([, text]) => {
    quickly(() => idsOf([{ param: 1, isArray: true }], [{ value: Buffer.from(text), isBinary: false }]))
  })

  test('that is an array of NULLs in bytes', () => {
    const head = Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 3, 0xd0, 0x90, 0, 0, 0, 1])
    quickly(() => idsOf([{ param: 1, isArray: true }], [{ value: Buffer.concat([head, Buffer.alloc(1_000_000, 255)]), isBinary: true }]))
  })
})

const TEXTS: Record<string, string> = {
  'a comment behind a literal': `select E'' --${many('-')}`,
  'comments behind a literal': `select E''${many('--\n')}x`,
  'blanks behind a literal': `select E''${many(' ')}\n${many(' ')}x`,
  'literals that escape': `select ${many("E'' ")}`,
  'literals that go on': `select E'a'${many("\n'a'")}`,
  'quotes': many("'"),
  'quotes of names': many('"'),
  'backslashes in a literal': `select E'${many('\\')}`,
  'comments that begin': many('/*'),
  'comments that begin and end': many('/**/'),
  'stars': `/*${many('*')}`,
  'dollars': many('$'),
  'tags of dollars': `${many('$a')}`,
  'a long tag': `$${many('a')}`,
  'tags that no one ends': many('$a$b'),
  'semicolons': many(';'),
  'semicolons and blanks': `select 1${many('; ')}`,
  'a semicolon and blanks': `;${many(' ')}`,
  'blanks': many(' '),
  'blanks and a letter': `${many(' ')}x`,
  'commit and blanks': `commit${many(' ')}x`,
  'commit and chain': `commit${many(' and')}`,
  'deallocate and blanks': `deallocate x${many(' ')}y`,
  'deallocate and quotes': `deallocate "${many('""')}x`,
  'deallocate and a name': `deallocate ${many('x')}!`,
  'explain': `explain ${many('analy ')}`,
  'numbers': `select ${many('= 1 ')}`,
  'words': many('from a '),
  'points': many('a.'),
  'digits': `select ${many('1')}`,
  'what is no ASCII': many('é'),
}

describe('a text of', () => {
  const names = Object.keys(TEXTS)

  test.for(names)('%s', (name) => {
    for (const text of [TEXTS[name]!, TEXTS[name]!.slice(0, 9_990), TEXTS[name]!.slice(-9_990)]) {
      quickly(() => lex(text, false, () => undefined))
      quickly(() => lex(text, true, () => undefined))
      quickly(() => measure(text))
      quickly(() => templateOf(text))
      quickly(() => shown(text))
      quickly(() => isCommit(text))
      quickly(() => isSingle({ text, params: undefined }))
      quickly(() => note({ transaction: 1, unasked: 0, texts: [], told: undefined } satisfies Beginning, text, { transaction: 1, isInTransaction: true, unasked: 0 } as LiveSession))
      quickly(() => {
        try {
          guessed(text, false)
        } catch {
          // It has too many names, or says what nobody can tell.
        }
      })
      quickly(() => printable(text))
      quickly(() => printableLines(text))
      quickly(() => createLog({ write: () => undefined }).info(text, { text }))
      quickly(() => {
        for (const kind of [query(text), parse('s', text), bind('', 's', [text])]) {
          new Statements().take({ kind: String.fromCharCode(kind[0]!), bytes: kind }, { encoding: 'utf8', escapes: false }, [])
        }
      })
      for (const encoding of ['latin1', 'sjis', 'pairs'] as const) quickly(() => readQuery(query(text), encoding))
    }
  })

  test('a secret\'s beginnings, for the log', () => {
    for (const text of ['pat-', 'pat-aa', 'pat-a1', 'bearer ', 'a://', 'a://x:', 'a://x:y', ':']) {
      quickly(() => createLog({ write: () => undefined }).info(many(text)))
      quickly(() => createLog({ write: () => undefined }).info(`${text}${many('a')}`))
      quickly(() => createLog({ write: () => undefined }).info(`${text}${many(' ')}`))
    }
  })

  test('escapes in an address that is signed', () => {
    const header = (name: string) => ({ 'x-hubspot-signature-v3': 'x', 'x-hubspot-request-timestamp': '1' })[name] ?? null
    for (const part of ['%', '%3', '%3A', '%25']) quickly(() => checkSignature({ method: 'POST', urls: [many(part)], body: Buffer.alloc(0), header }, ['secret'], 1))
  })
})

describe('a statement of a hundred thousand characters', () => {
  const long = (what: string) => what.repeat(Math.floor(45_000 / what.length))

  test.for<[string, string]>([
    ['relations and conditions', `select from ${long('x, ')}x where ${long('x.id=1 and ')}true`],
    ['relations and a list', `select from ${long('hubspot.a x,')}x where x.id in (${long('1,')}1)`],
    ['relations and alternatives', `select from ${long('a x,')}x where ${long('x.id=1 or ')}x.a=1`],
    ['joins and conditions', `select from a${long(' join b x on x.id=1')} where ${long('x.id=1 and ')}true`],
    ['names that WITH gives', `with ${Array.from({ length: 2_000 }, (_, i) => `a${i} as (select 1)`).join()} select ${long('(with b as (select) select),')}1`],
    ['one key', `select from hubspot.deals d where ${long('d.id=1 and ')}true`],
  ])('of %s', ([, text]) => {
    quickly(() => expect(acts(text)).toHaveLength(1))
  })
})
