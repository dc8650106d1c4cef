import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { z } from 'zod'
import { openDatabase } from '../src/db/database.ts'
import { columnType, type Style } from '../src/types/columns.ts'
import { generateTypes } from '../src/types/generate.ts'
import { comment, interfaceNames } from '../src/types/text.ts'
import { callCli } from './support/cli.ts'
import { makeProject, type Project } from './support/compile.ts'
import { makeRoles } from './support/roles.ts'
import { startWorld, type World } from './support/sync.ts'

vi.setConfig({ testTimeout: 60_000 })
const USUAL: Style = { dates: 'date', isClosed: false, hasZod: true }

let world: World
let project: Project
beforeAll(async () => {
  // A custom object may be called as what the file itself uses.
  world = await startWorld('types', { sandbox: { objects: { contacts: 40, deals: 30, companies: 5, date: 3, vehicle: 10 } } })
  const [contact] = [...world.store.records('contacts')]
  for (const { id } of world.store.records('deals')) world.store.associate('deals', id, 'contacts', contact!.id)
  for (const object of ['contacts', 'deals', 'date', 'vehicle']) await world.load(object)
  await world.load('companies', ['name', 'industry'], 'mark')
  await world.db.query(`select hubspot.track_associations('deals', 'contacts')`)
  await world.drain()
  project = await makeProject()
})
afterAll(async () => {
  await project[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

const generate = async (style: Partial<Style> = {}) => (await generateTypes(world.deps.db, { ...USUAL, ...style })).text

/** What the compiler says of these files. */
async function compile(files: Record<string, string>): Promise<string> {
  for (const [name, text] of Object.entries(files)) await project.write(name, text)
  return project.compile('--noUnusedLocals', ...Object.keys(files))
}

/** The schemas of a file, by table. */
async function schemasOf(text: string): Promise<Map<string, z.ZodObject>> {
  const file = join(project.folder, `schemas-${Math.random()}.ts`)
  await writeFile(file, text)
  const module = (await import(file)) as Record<string, z.ZodObject>
  const tables = [...text.matchAll(/^ {2}"hubspot\.(.*)": (\w+);$/gm)].map(([, table = '', name = '']) => {
    return [table, module[`${name.slice(0, 1).toLowerCase()}${name.slice(1)}Schema`] ?? expect.fail(`${name} has no schema`)] as const
  })
  expect(tables.length).toBeGreaterThan(20)
  return new Map(tables)
}

/** All rows of a relation, as node-postgres gives them to anybody. */
async function rowsOf(table: string, config: pg.ClientConfig = {}): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: world.db.url, ...config })
  await client.connect()
  try {
    return (await client.query<pg.QueryResultRow>(`select * from hubspot.${pg.escapeIdentifier(table)}`)).rows
  } finally {
    await client.end()
  }
}

describe('the file', () => {
  test('compiles under the strictest settings, and types kysely, rows and enumerations', async () => {
    const using = `
import { Kysely, PostgresDialect } from 'kysely'
import type { Selectable } from 'kysely'
import { contactsSchema, type Contacts, type DB, type Deals, type DealsContacts, type Date2 } from './hubspot.ts'

export const db = new Kysely<DB & { 'public.mine': { id: number } }>({ dialect: new PostgresDialect({ pool: null as never }) })
export const rows: Promise<{ amount: string | null; closedate: Date | null; email: string | null }[]> = db
  .selectFrom('hubspot.deals as d')
  .innerJoin('hubspot.deals_contacts as dc', 'dc.deal_id', 'd.id')
  .innerJoin('hubspot.contacts as c', 'c.id', 'dc.contact_id')
  .where('d.dealstage', '=', 'closedwon')
  .select(['d.amount', 'd.closedate', 'c.email'])
  .execute()
export const row: Contacts = contactsSchema.parse({})
export const same: Deals = {} as Selectable<Deals>
export const won: Deals['dealstage'][] = ['closedwon', 'a stage of tomorrow', null]
export const colours: Contacts['favourite_colours'] = ['black', 'beige']
export const id: string = ({} as DealsContacts).deal_id
export const day: string = ({} as Date2).id
// @ts-expect-error No number: it would lose digits.
export const amount: number = ({} as Deals).amount
// @ts-expect-error There is no such property.
export type Nothing = Deals['deal_stage']
`
    const closed = `
import type { Deals } from './closed.ts'
export const stage: Deals['dealstage'] = 'closedwon'
// @ts-expect-error It is not among the options.
export const other: Deals['dealstage'] = 'a stage of tomorrow'
export const at: string | null = ({} as Deals).closedate
`
    const bare = await generate({ hasZod: false })
    expect(await compile({
      'hubspot.ts': await generate(), 'using.ts': using, 'bare.ts': bare,
      'closed.ts': await generate({ isClosed: true, dates: 'string' }), 'closed-using.ts': closed,
    })).toBe('')
    expect(bare).not.toMatch(/^import/m)
  })

  test('says in comments what HubSpot says, with the labels of options; what is archived or no longer chosen too', async () => {
    const text = await generate()
    expect(text).toContain(`  /**\n   * Deal Stage\n   * - "140988221": `)
    expect(text).toMatch(/\/\*\* Companies of HubSpot \(0-2\)\..*\nexport interface Companies \{\n {2}\/\*\* When the record was seen gone from HubSpot/)
    await world.db.query(`select hubspot.track('companies', '{name}')`)
    await world.drain()
    expect(await generate()).toMatch(/\/\*\*\n {3}\* Industry.*\n {3}\* No longer chosen: not kept up to date\.\n/)
    await world.db.query(`update hubspot_private.properties set archived_at = now() where object = 'vehicle' and property = 'color'`)
    expect(await generate()).toMatch(/ \* Archived in HubSpot\.\n(?: {3}\* .*\n)* {3}\*\/\n {2}color:/)
  })

  test('is the same for the owner and a reader, and whatever the order in which things were made', async () => {
    const { db } = world
    const before = await generate()
    await using roles = await makeRoles(db, 'reader')
    const url = new URL(db.adminUrl)
    await db.query('select hubspot.grant_read($1)', [roles.names.reader])
    await using as = openDatabase(url.href, { max: 1 })
    await as.pool.query(`set role ${pg.escapeIdentifier(roles.names.reader)}`)
    expect((await generateTypes(as, USUAL)).text).toBe(before)
    // A column that is being filled to take another's place shows in no run and no comment.
    await db.query(`select hubspot.retype_column('deals', 'amount', 'text')`)
    await world.run('deals', 'build')
    expect(await db.query(`select next_type from hubspot.properties where object = 'deals' and property = 'amount'`)).toEqual([{ next_type: 'text' }])
    expect(await generate()).toBe(before)
    await world.drain()
  })

  test.each([['usual', {}], ['closed', { isClosed: true }]])('its schemas take every row of every relation: %s', async (_, style) => {
    for (const [table, schema] of await schemasOf(await generate(style))) {
      const rows = await rowsOf(table)
      for (const row of rows) {
        const { success, error, data } = schema.safeParse(row)
        expect(success, `${table}: ${error?.message}`).toBe(true)
        expect(Object.keys(data ?? {}).toSorted(), table).toEqual(Object.keys(row as object).toSorted())
      }
      if (['contacts', 'deals', 'vehicle', 'deals_contacts', 'quota', 'schedules'].includes(table)) expect(rows.length, table).toBeGreaterThan(2)
    }
  })

  test('its schemas take rows whose times are text, and refuse what is no row of theirs', async () => {
    const deals = (await schemasOf(await generate({ dates: 'string' }))).get('deals')
    const [row] = await rowsOf('deals', { types: { getTypeParser: () => (value: string) => value } })
    expect(deals?.safeParse({ ...(row as object), _extra: null }).error?.issues.map(({ path }) => path[0])).toEqual(
      // Those would be no text either: booleans and lists.
      expect.not.arrayContaining(['closedate', '_synced_at', 'amount']),
    )
    expect(deals?.safeParse({ ...(row as object), closedate: new Date() }).success).toBe(false)
    const closed = (await schemasOf(await generate({ isClosed: true }))).get('deals')
    const [plain] = await rowsOf('deals')
    expect(closed?.safeParse({ ...(plain as object), dealstage: 'of tomorrow' }).success).toBe(false)
    expect((await schemasOf(await generate())).get('deals')?.safeParse({ ...(plain as object), dealstage: 'of tomorrow' }).success).toBe(true)
  })

  test('stands whatever people typed into HubSpot, and whatever columns are called', async () => {
    const { db } = world
    const labels = ['*/ export const evil = 1 /*', 'two\nlines\r\nand \u2028 more', '@deprecated', '`${process.exit()}`', '\u202Eesrever', '/** nested */', '日本語 🚗', '\\']
    const properties = await db.query<{ property: string }>(`select property from hubspot.properties where object = 'vehicle' and column_name is not null order by property limit 8`)
    for (const [at, { property }] of properties.entries()) {
      await db.query(`update hubspot_private.properties set label = $2, description = $2, type = 'enumeration' where object = 'vehicle' and property = $1`, [property, labels[at]])
      await db.query(`insert into hubspot.property_options (object, property, value, label, is_hidden) values ('vehicle', $1, $2, $2, false), ('vehicle', $1, '"''\\', null, false), ('vehicle', $1, '', 'none', false)`, [property, labels[at]])
    }
    const names = ['__proto__', 'class', 'a "quoted" name', 'with\nnewline', '日本', '1st', 'constructor', '*/']
    for (const [at, { property }] of properties.entries()) await db.query('select hubspot.rename_column($1, $2, $3)', ['vehicle', property, names[at]])
    await db.query(`create view hubspot."*/ odd ""view"" 日本" as select 1::bigint as id, '{1}'::numeric[] as list, now() as "class", '1 day'::interval as long, '(1,2)'::point as p`)
    await db.query('create view hubspot.deals__contacts as select 1 as one')
    const text = await generate()
    expect(await compile({ 'odd.ts': text, 'odd-closed.ts': await generate({ isClosed: true }) })).toBe('')
    expect(text).not.toMatch(/\u202E|\n \*\s*@/)
    const schemas = await schemasOf(text)
    expect([...schemas.keys()]).toEqual(expect.arrayContaining(['deals_contacts', 'deals__contacts', 'vehicle']))
    for (const [table, schema] of schemas) {
      for (const row of await rowsOf(table)) expect(schema.safeParse(row).error?.message, table).toBeUndefined()
    }
  })
})

describe('the command', () => {
  const env = () => ({ DATABASE_URL: world.db.url })

  test('prints, writes, leaves what is right alone, and verifies: 0, or 1 with the lines that differ', async () => {
    const out = join(project.folder, 'made', 'on', 'the way', 'hubspot.ts')
    const printed = await callCli(['types'], env())
    expect(printed).toMatchObject({ code: 0, stderr: '', stdout: await generate() })
    const missing = await callCli(['types', '--out', out, '--verify', '--json'], env())
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringMatching(/hubspot\.ts is not there \(SH122\)\n {2}Run: pg-hubspot types --out/) as string })
    expect(JSON.parse(missing.stdout)).toMatchObject({ file: out, changed: true })
    expect(await callCli(['types', '--out', out], env())).toMatchObject({ code: 0, stdout: expect.stringMatching(/hubspot\.ts: \d+ tables and views\n/) as string })
    expect(await readFile(out, 'utf8')).toBe(printed.stdout)
    const { mtimeMs } = await stat(out)
    expect(JSON.parse((await callCli(['types', '--out', out, '--json'], env())).stdout)).toMatchObject({ changed: false })
    expect((await stat(out)).mtimeMs).toBe(mtimeMs)
    // As git writes it on Windows.
    await writeFile(out, printed.stdout.replaceAll('\n', '\r\n'))
    expect(await callCli(['types', '--out', out, '--verify'], env())).toMatchObject({ code: 0, stderr: '' })
    await world.db.query(`select hubspot.rename_column('deals', 'dealname', 'title')`)
    const differs = await callCli(['types', '--out', out, '--verify'], env())
    expect(differs).toMatchObject({ code: 1, stdout: '' })
    expect(differs.stderr).toMatch(/\+ {3}title: string \| null;\n[\s\S]*is not what the database says \(SH122\)/)
  })

  test('says what is wrong with the file, the options or the database', async () => {
    await writeFile(join(project.folder, 'in-the-way'), '')
    const elsewhere = { DATABASE_URL: world.db.url.replace(/[^/]+$/, 'postgres') }
    const tries: [string[], NodeJS.ProcessEnv, number, RegExp][] = [
      [['--out', project.folder], env(), 1, /cannot be read: EISDIR.*\(SH104\)/],
      [['--out', join(project.folder, 'in-the-way', 'hubspot.ts')], env(), 1, /SH104/],
      [['--verify'], env(), 64, /--verify wants --out/],
      [['--json'], env(), 64, /--json wants --out/],
      [['--dates', 'maybe'], env(), 64, /--dates date or string/],
      [[], elsewhere, 1, /SH016/],
    ]
    for (const [args, given, code, stderr] of tries) {
      expect(await callCli(['types', ...args], given), args.join(' ')).toMatchObject({ code, stderr: expect.stringMatching(stderr) as string })
    }
  })
})

test('names of interfaces are names, and no two are the same', () => {
  const names = interfaceNames(['a_b', 'aB', 'AB2', 'date', 'DB', '', '2cars', '日本', '🚗', 'x²y'])
  expect([...names.values()]).toEqual(['AB', 'AB2', 'AB22', 'Date2', 'DB2', 'Table', 'Table2cars', '日本', 'Table2', 'XY'])
})

test('comments end where they should', () => {
  expect(comment([])).toBe('')
  expect(comment(['', 'one', ''])).toBe('/** one */\n')
  expect(comment(['a */ b', '@x'], '  ')).toBe('  /**\n   * a *\\/ b\n   * \\@x\n   */\n')
})

test('a type that nobody thought of is unknown, and may be null', () => {
  expect(columnType({ dataType: 'point', isArray: true, isNullable: true, options: [], isExtra: false }, USUAL)).toEqual({ type: 'unknown[] | null', zod: 'z.array(z.unknown()).nullable()' })
})
