import type { Sandbox } from '../../src/sandbox/index.ts'
import type { FreshDatabase } from './cluster.ts'

type Read = Pick<FreshDatabase, 'query'>
type Json = Record<string, unknown>

/** Most lines a comparison prints: more say nothing new. */
const LINES = 12

/**
 * How what is known of objects, properties, options, pipelines and owners differs from what the sandbox answers when it is
 * asked, a line for each thing; none when they are equal.
 */
export async function definitionDifferences(db: Read, sandbox: Sandbox, objects: readonly string[]): Promise<string[]> {
  const ask = async (path: string): Promise<Json[]> => {
    const response = await fetch(`${sandbox.url}/crm${path}`, { headers: { authorization: `Bearer ${sandbox.token}` } })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return ((await response.json()) as { results: Json[] }).results
  }
  const found = [...await ownersDiffer(db, ask), ...await schemasDiffer(db, ask)]
  for (const object of objects) {
    const [{ path }] = (await db.query<{ path: string }>('select coalesce(object_type_id, object) as path from hubspot.object_types where object = $1', [object])) as [{ path: string }]
    found.push(...await propertiesDiffer(db, ask, object, path), ...await pipelinesDiffer(db, ask, object, path))
  }
  return found.length > LINES ? [...found.slice(0, LINES), `… ${found.length - LINES} more`] : found
}

type Ask = (path: string) => Promise<Json[]>

async function propertiesDiffer(db: Read, ask: Ask, object: string, path: string): Promise<string[]> {
  const live = await ask(`/v3/properties/${path}`)
  const archived = new Set((await ask(`/v3/properties/${path}?archived=true`)).map(({ name }) => name))
  const here = await db.query<{ property: string; archived_at: string | null; is_selected: boolean; is_wanted: boolean; line: string }>(
    `select p.property, p.archived_at, p.is_selected, o.wanted is null or p.property = any (o.wanted) as is_wanted,
       concat_ws(' ', p.property, p.type, p.field_type, quote_literal(coalesce(p.label, '')), p.is_calculated, p.is_read_only) as line
     from hubspot.properties p join hubspot_private.objects o on o.name = p.object where p.object = $1`, [object])
  const there = live.map((p) => `${p['name']} ${p['type']} ${p['fieldType']} ${quoted(p['label'])} ${flag(p['calculated'])} ${flag((p['modificationMetadata'] as Json)['readOnlyValue'])}`)
  const options = live.flatMap((p) => (p['options'] as Json[]).map((o) => `${p['name']} ${quoted(o['value'])} ${quoted(o['label'])} ${o['displayOrder']} ${flag(o['hidden'])}`))
  const kept = await db.query<{ line: string }>(
    `select concat_ws(' ', property, quote_literal(value), quote_literal(label), display_order, is_hidden) as line from hubspot.property_options where object = $1`, [object])
  return [
    ...compared(`${object} property`, there, here.filter((p) => p.archived_at === null).map(({ line }) => line)),
    ...here.filter((p) => p.archived_at !== null && !archived.has(p.property)).map(({ property }) => `${object} property ${property} is archived here alone`),
    ...here.filter((p) => p.archived_at === null && p.is_wanted !== p.is_selected).map((p) => `${object} property ${p.property} is ${p.is_selected ? '' : 'not '}mirrored`),
    ...compared(`${object} option`, options, kept.map(({ line }) => line)),
  ]
}

async function pipelinesDiffer(db: Read, ask: Ask, object: string, path: string): Promise<string[]> {
  const [type] = await db.query<{ has_pipelines: boolean }>('select has_pipelines from hubspot_private.objects where name = $1', [object])
  const there = type?.has_pipelines ? await ask(`/v3/pipelines/${path}`) : []
  const stages = there.flatMap((p) => (p['stages'] as Json[]).map((s) => `${p['id']} ${s['id']} ${quoted(s['label'])} ${s['displayOrder']} ${flag(s['archived'])} ${sorted(s['metadata'])}`))
  const here = await db.query<{ line: string }>(
    `select concat_ws(' ', id, quote_literal(label), display_order, is_archived) as line from hubspot.pipelines where object = $1`, [object])
  const kept = await db.query<{ line: string; metadata: unknown }>(
    `select concat_ws(' ', pipeline_id, id, quote_literal(label), display_order, is_archived) as line, metadata from hubspot.pipeline_stages where object = $1`, [object])
  return [
    ...compared(`${object} pipeline`, there.map((p) => `${p['id']} ${quoted(p['label'])} ${p['displayOrder']} ${flag(p['archived'])}`), here.map(({ line }) => line)),
    ...compared(`${object} stage`, stages, kept.map(({ line, metadata }) => `${line} ${sorted(metadata)}`)),
  ]
}

async function ownersDiffer(db: Read, ask: Ask): Promise<string[]> {
  const there = [...await ask('/v3/owners?limit=500'), ...await ask('/v3/owners?limit=500&archived=true')]
  const here = await db.query<{ line: string }>(
    "select concat_ws(' ', id, quote_literal(email), quote_literal(first_name), quote_literal(last_name), type, is_archived) as line from hubspot.owners")
  return compared('owner', there.map((o) => `${o['id']} ${quoted(o['email'])} ${quoted(o['firstName'])} ${quoted(o['lastName'])} ${o['type']} ${flag(o['archived'])}`), here.map(({ line }) => line))
}

async function schemasDiffer(db: Read, ask: Ask): Promise<string[]> {
  const there = await ask('-object-schemas/v3/schemas')
  const here = await db.query<{ line: string }>(
    "select concat_ws(' ', object_type_id, fully_qualified_name, quote_literal(label)) as line from hubspot.object_types where is_custom and archived_at is null and object_type_id is not null")
  return compared('object', there.map((s) => `${s['objectTypeId']} ${s['fullyQualifiedName']} ${quoted((s['labels'] as Json)['plural'])}`), here.map(({ line }) => line))
}

/** What a play merged of an object: each lost id, with the ids that it led to, one after another; and whether an answer that was taken in told of it. */
type Merged = { chains: ReadonlyMap<string, readonly string[]>; hasHeard(lost: string, id: string): boolean }

/**
 * How hubspot.merges differs from what the sandbox's records tell of what they took in. What it says of records that are gone
 * without a trace may be here, or not; and may lead to the last that was heard of, where that is part of one that was gone before
 * anybody read it.
 */
export async function mergeDifferences(db: Read, sandbox: Sandbox, object: string, { chains, hasHeard }: Merged): Promise<string[]> {
  const here = new Map((await db.query<{ lost_id: string; kept_id: string }>('select lost_id, kept_id from hubspot.merges where object = $1', [object])).map((m) => [m.lost_id, m.kept_id]))
  // What was deleted for privacy, as far as a webhook can be believed, takes along what it took in; the archived list may tell of it anew.
  const erased = new Set((await db.query<{ id: string }>('select id from hubspot_private.tombstones where object = $1 and erased_at is not null', [object])).map(({ id }) => id))
  const told = new Map<string, string>()
  for (const archived of [false, true]) {
    for (const { id, properties } of sandbox.store.records(object, { archived })) {
      if (chains.has(id)) continue
      for (const lost of (properties['hs_merged_object_ids'] ?? '').split(';')) if (lost !== '' && lost !== id) told.set(lost, id)
    }
  }
  const isRight = (lost: string, kept: string) => {
    const chain = chains.get(lost) ?? []
    const later = chain.slice(chain.indexOf(kept) + 1)
    return told.get(lost) === kept || chain.at(-1) === kept || (chain.includes(kept) && !told.has(lost) && !later.some((id) => hasHeard(lost, id)))
  }
  return [
    ...[...told].filter(([lost, kept]) => here.get(lost) !== kept && !erased.has(kept)).map(([lost, kept]) => `${object} ${lost} was merged into ${kept}, here ${here.get(lost) ?? 'nothing is known of it'}`),
    ...[...here].filter(([lost, kept]) => !isRight(lost, kept)).map(([lost, kept]) => `${object} ${lost} is said to be merged into ${kept}, and was into ${chains.get(lost)?.at(-1) ?? 'none'}`),
  ]
}

function compared(what: string, there: readonly string[], here: readonly string[]): string[] {
  const [theirs, ours] = [new Set(there), new Set(here)]
  return [
    ...there.filter((line) => !ours.has(line)).map((line) => `${what} ${line} is missing here`),
    ...here.filter((line) => !theirs.has(line)).map((line) => `${what} ${line} is here and not there`),
  ]
}

const flag = (value: unknown) => (value === true ? 't' : 'f')
const quoted = (value: unknown) => `'${typeof value === 'string' ? value.replaceAll("'", "''") : ''}'`
const sorted = (value: unknown) => JSON.stringify(Object.entries((value ?? {}) as Json).toSorted(([a], [b]) => (a < b ? -1 : 1)))
