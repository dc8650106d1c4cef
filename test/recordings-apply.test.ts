import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asJsonb } from '../src/db/database.ts'
import { freshDatabase, type FreshDatabase } from './support/cluster.ts'

type Recorded = { id: string; properties: Record<string, string | null>; createdAt: string; updatedAt: string; archived?: boolean }
type Page = { results: Recorded[] }
type Definition = { name: string; type: string; fieldType?: string }
type Schema = { name: string; objectTypeId: string; fullyQualifiedName: string; properties: Definition[] }
type Held = string | number | boolean | string[] | null | undefined
type Exchange = { path: string; status: number; response: unknown }

// Real HubSpot answers of 2021 to 2023, which lie beside the repository where they lie at all.
const FOLDER = new URL('../../shared/recordings/', import.meta.url)
const present = existsSync(FOLDER)
const why = present ? '' : ' (skipped: ../shared/recordings is not here)'
const read = <T>(path: string) => JSON.parse(readFileSync(new URL(path, FOLDER), 'utf8')) as T
const exchanges = present ? readdirSync(new URL('grouparoo/', FOLDER)).flatMap((file) => read<Exchange[]>(`grouparoo/${file}`)) : []
const dlt = present ? read<Record<string, Page> & { mock_contacts_properties: { results: { name: string }[] } }>('dlt/mock_data.json') : undefined

const schemas = exchanges.filter(({ path, status }) => path.startsWith('/crm/v3/schemas') && status === 200).flatMap(({ response }) =>
  typeof response === 'object' && response !== null && 'results' in response ? (response.results as Schema[]) : [response as Schema])
const pagesOf = (segment: string) =>
  exchanges
    .filter(({ path, status }) => path.startsWith(`/crm/v3/objects/${segment}/`) && status < 300)
    .map(({ response }) => response as Page)
    .filter((page) => Array.isArray(page.results) && page.results.length > 0)

let db: FreshDatabase
describe.skipIf(!present)(`recorded records${why}`, () => {
  beforeAll(async () => {
    db = await freshDatabase('recordings')
    await db.query('update hubspot_private.account set is_connected = true, portal_id = 1')
    for (const { response } of exchanges.filter(({ path, status }) => path === '/crm/v3/schemas' && status === 200)) {
      await db.query('select hubspot_private.schemas_apply($1)', [JSON.stringify(response)])
    }
  })
  afterAll(() => db[Symbol.asyncDispose]())

  for (const [object, segment, type, least] of [
    ['contacts', 'CONTACT', '0-1', 420],
    ['companies', 'COMPANY', '0-2', 440],
    ['2-3604285', '2-3604285', '2-3604285', 420],
  ] as const) {
    test(`every search and batch answer of ${object} goes through the apply statement without loss`, async () => {
      const pages = pagesOf(segment)
      const definitions = schemas.find(({ objectTypeId }) => objectTypeId === type)?.properties ?? []
      // Of companies no definitions were recorded: their values are taken as text.
      expect(definitions.length > 0).toBe(object !== 'companies')
      await track(object, definitions, pages)
      expect(await applyAll(object, pages)).toBeGreaterThanOrEqual(least)
      if (object !== 'companies') {
        const types = await db.query<{ n: number }>(
          `select count(distinct column_type)::integer as n from hubspot.properties p join hubspot.object_types t using (object)
           where t.object_type_id = $1`, [type])
        expect(types[0]!.n).toBeGreaterThan(2)
      }
    })
  }

  for (const [object, ...names] of [
    ['contacts', 'mock_contacts_data', 'mock_contacts_with_history'],
    ['companies', 'mock_companies_data'],
    ['deals', 'mock_deals_data'],
    ['products', 'mock_products_data'],
    ['tickets', 'mock_tickets_data'],
    ['quotes', 'mock_quotes_data'],
  ] as const) {
    test(`pages of ${object} as another client recorded them, too`, async () => {
      // Their client did not ask for the modified date, which ours always does: a record without it would be left alone.
      const pages = names.map((name) => dlt![name]!).map((page) => ({
        ...page,
        results: page.results.map((record) => ({ ...record, properties: { [MODIFIED(object)]: record.updatedAt, ...record.properties } })),
      }))
      const named = object === 'contacts' ? dlt!.mock_contacts_properties.results.map(({ name }) => ({ name, type: 'string' })) : []
      await db.query(`select hubspot.untrack(object, drop_table => true) from hubspot.status where object = $1`, [object])
      await track(object, named, pages)
      expect(await applyAll(object, pages)).toBe(pages.flatMap(({ results }) => results).length)
    })
  }
})

const MODIFIED = (object: string) => (object === 'contacts' ? 'lastmodifieddate' : 'hs_lastmodifieddate')

/** Tracks an object with these definitions, and as text what records have besides. */
async function track(object: string, definitions: readonly Definition[], pages: readonly Page[]): Promise<void> {
  const known = new Set(definitions.map(({ name }) => name))
  const further = new Set(pages.flatMap(({ results }) => results.flatMap(({ properties }) => Object.keys(properties))))
  const results = [...definitions, ...[...further].filter((name) => !known.has(name)).map((name) => ({ name, type: 'string' }))]
  await db.query('select hubspot.track($1)', [object])
  const name = await nameOf(object)
  await db.query('select hubspot_private.properties_apply($1, $2), hubspot_private.selection_apply($1)', [name, JSON.stringify({ results })])
}

const nameOf = async (object: string) =>
  (await db.query<{ name: string }>('select (hubspot_private.object_find($1)).name', [object]))[0]!.name

/** Applies page after page and looks at each record right after it; returns how many records were looked at.
 *  Their clients asked for some properties, ours asks for all: what was not asked for is as it was answered before, or null. */
async function applyAll(object: string, pages: readonly Page[]): Promise<number> {
  const name = await nameOf(object)
  const columns = new Map(
    (await db.query<{ property: string; column_name: string; column_type: string }>(
      'select property, column_name, column_type from hubspot.properties where object = $1', [name],
    )).map((column) => [column.property, column]),
  )
  const [type] = await db.query<{ table_name: string }>('select table_name from hubspot.object_types where object = $1', [name])
  let looked = 0
  const none = Object.fromEntries([...columns.keys()].map((property) => [property, null]))
  const before = new Map<string, Recorded['properties']>()
  for (const recorded of pages) {
    const page = { ...recorded, results: recorded.results.map((record) => ({ ...record, properties: { ...none, ...before.get(record.id), ...record.properties } })) }
    for (const { id, properties } of page.results) before.set(id, properties)
    const [counts] = await db.query<{ rows_read: string; inserted: string; updated: string; unchanged: string }>(
      `select (hubspot_private.page_apply($1, 'backfill', 0, $2, hubspot_private.clock(), 'backfill')).*`,
      [name, asJsonb(Buffer.from(JSON.stringify(page)))],
    )
    const { rows_read, inserted, updated, unchanged } = counts!
    expect(Number(inserted) + Number(updated) + Number(unchanged)).toBe(Number(rows_read))
    const rows = new Map(
      (await db.query<{ id: string; row: Record<string, Held>; extra: Record<string, string> | null }>(
        `select t.id, to_jsonb(t) as row, t._extra as extra from hubspot."${type!.table_name}" t where t.id = any ($1)`, [page.results.map(({ id }) => id)],
      )).map((found) => [found.id, found]),
    )
    for (const { id, properties, createdAt, updatedAt } of page.results) {
      const { row, extra } = rows.get(id)!
      const held = Object.fromEntries(Object.keys(properties).map((property) => {
        const { column_name, column_type } = columns.get(property)!
        return [property, extra?.[property] ?? asRecorded(row[column_name], column_type, properties[property] ?? null)]
      }))
      // HubSpot says both null and the empty string for no value.
      const wanted = Object.fromEntries(Object.entries(properties).map(([property, value]) => [property, value === '' ? null : value]))
      expect({ id, ...held }).toEqual({ id, ...wanted })
      expect(Date.parse(row['_created_at'] as string)).toBe(Date.parse(createdAt))
      expect(Date.parse(row['_updated_at'] as string)).toBe(Date.parse(updatedAt))
      looked += 1
    }
  }
  return looked
}

/** A column's value in HubSpot's spelling: the recorded one where it means the same, else as it is. */
function asRecorded(value: Held, type: string, recorded: string | null): string | null {
  if (value === null || value === undefined) return null
  const text = Array.isArray(value) ? value.join(';') : String(value)
  if (recorded === null || recorded === '') return text
  const isSame =
    type === 'numeric' ? Number(text) === Number(recorded)
    : type === 'timestamptz' || type === 'date' ? Date.parse(text) === Date.parse(/^\d+$/.test(recorded) ? new Date(Number(recorded)).toISOString() : recorded)
    : text === recorded
  return isSame ? recorded : text
}
