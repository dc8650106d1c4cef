import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dueStreams, hold, pagesOf, startWorld, type Holder, type World } from './support/sync.ts'

// Any changes of properties and types, between any steps of any streams: in the end every value is where it belongs.

const NAMES = ['alpha', 'beta', 'gamma'] as const
const KINDS = ['string', 'number', 'bool', 'date', 'datetime', 'checkbox'] as const
const TYPES = ['text', 'numeric', 'boolean', 'date', 'timestamptz', 'text[]', null] as const
const VALUES = ['1.5', 'true', '2026-03-01', '2026-03-01T10:20:30Z', '1700000000000', 'a;b', 'words', ''] as const

const name = fc.constantFrom(...NAMES)
const command = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('edit' as const), at: fc.nat(40), name, value: fc.constantFrom(...VALUES) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('type' as const), name, kind: fc.constantFrom(...KINDS) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('archive' as const, 'restore' as const, 'refuse' as const, 'show' as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('retype' as const), name, type: fc.constantFrom(...TYPES) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('track' as const), names: fc.option(fc.subarray([...NAMES], { minLength: 1 })) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('drop' as const, 'view' as const, 'unview' as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('create' as const, 'lose' as const), at: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('lock' as const, 'unlock' as const) }) },
  // A step of a stream; held: what it asked is taken in later, or never.
  { weight: 8, arbitrary: fc.record({ do: fc.constant('step' as const), stream: fc.constantFrom('schema', 'fill', 'fill', 'build', 'fetch', 'poll', 'resync'), isHeld: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('land' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(2, 11, 35, 660) }) },
)
type Command = typeof command extends fc.Arbitrary<infer C> ? C : never

const input = (kind: (typeof KINDS)[number]) => (kind === 'checkbox' ? { type: 'enumeration', fieldType: 'checkbox', options: ['a', 'b'] } : { type: kind })

const runs = Number(process.env['DRIFT_RUNS'] ?? 8)
const first = Number(process.env['DRIFT_FIRST'] ?? 1)

test.for(Array.from({ length: runs }, (_, i) => first + i))('any drift of properties, seed %i', { timeout: 300_000 }, async (seed) => {
  await fc.assert(fc.asyncProperty(fc.array(command, { minLength: 20, maxLength: 60, size: 'max' }), converges), { seed, numRuns: 1, endOnFailure: process.env['DRIFT_SHRINK'] === undefined, verbose: 0 })
})

async function converges(commands: Command[]): Promise<void> {
  await using world = await startWorld('any_drift', { client: pagesOf(4) })
  world.store.addObject({ name: 'thing', properties: [...NAMES.map((property) => ({ name: property, filled: false })), { name: 'steady', filled: false }] })
  world.store.create('thing', Array.from({ length: 11 }, (_, i) => ({ properties: Object.fromEntries(NAMES.map((property, n) => [property, VALUES[(i + n) % VALUES.length]!])) })))
  await world.db.query('select hubspot.sync()')
  await world.drain()
  await world.load('thing')
  const user = await world.db.pool.connect()
  let isLocked = false
  const held: { holder: Holder; got: Awaited<ReturnType<Holder['ask']>> }[] = []
  const act = async (what: Command) => {
    const ids = [...world.store.records('thing')].map(({ id }) => id)
    switch (what.do) {
      case 'edit':
        return world.store.edit('thing', ids[what.at % ids.length]!, { [what.name]: what.value })
      case 'type':
        return world.store.changeProperty('thing', what.name, input(what.kind))
      case 'archive':
        return world.store.archiveProperty('thing', what.name)
      case 'restore':
        return world.store.restoreProperty('thing', what.name)
      case 'refuse':
      case 'show':
        return world.store.changeProperty('thing', what.name, { unreadable: what.do === 'refuse' ? 'named' : null })
      case 'retype':
        return world.db.query("set lock_timeout = '1s'; select 1").then(() => world.db.query("select hubspot.retype_column('thing', $1, $2)", [what.name, what.type])).catch(refusal)
      case 'track':
        return world.db.query("select hubspot.track('thing', $1)", [what.names && [...what.names, 'steady']]).catch(refusal)
      case 'drop':
        return isLocked ? undefined : world.db.query(`alter table hubspot.thing drop column if exists ${what.name}`).catch(refusal)
      case 'view':
        return isLocked ? undefined : world.db.query(`create view public.of_${what.name} as select ${what.name} from hubspot.thing`).catch(refusal)
      case 'unview':
        return isLocked ? undefined : world.db.query(`drop view if exists public.of_${what.name}`)
      case 'create':
        return world.store.create('thing', [{ properties: { alpha: 'new' } }])
      case 'lose':
        return ids.length > 5 ? world.store.archive('thing', ids[what.at % ids.length]!) : undefined
      case 'lock':
        if (!isLocked) await user.query('begin; select count(*) from hubspot.thing').catch(() => user.query('rollback; begin'))
        isLocked = true
        return
      case 'unlock':
        if (isLocked) await user.query('commit')
        isLocked = false
        return
      case 'step': {
        if (!what.isHeld) return world.run('thing', what.stream, 0, world.worker('brief', { sliceMs: 0 }))
        const holder = await hold(world, 'thing', what.stream)
        if (holder !== undefined) await holder.ask().then((got) => held.push({ holder, got }), () => undefined)
        return
      }
      case 'land': {
        const [landing] = held.splice(0, 1)
        if (landing !== undefined) await landing.holder.commit(landing.got).catch((error: unknown) => expect(['42703', '42P01', '42883', '55P03']).toContain((error as { code: string }).code))
        return
      }
      case 'wait':
        return world.advance(what.seconds * 1_000)
    }
  }
  for (const what of commands) {
    // Two edits of one millisecond with a read between them are for a full read alone to tell apart.
    await world.advance(7)
    await act(what)
  }
  if (isLocked) await user.query('commit')
  user.release()
  for (const property of NAMES) {
    await world.db.query(`drop view if exists public.of_${property}`)
    world.store.restoreProperty('thing', property)
    world.store.changeProperty('thing', property, { unreadable: null })
  }
  await world.db.query("select hubspot.track('thing')")
  await world.pass(90 * 60_000, 5 * 60_000)
  await world.pass(60_000, 10_000)
  const check = async () => {
    expect(await world.differences('thing')).toEqual([])
    expect(await world.db.query("select attname from pg_attribute where attrelid = 'hubspot.thing'::regclass and attname like '%\\_next%' and not attisdropped")).toEqual([])
    expect(await world.db.query("select property, next_type, filling_run from hubspot.properties where object = 'thing' and (next_type is not null or filling_run is not null)")).toEqual([])
    expect(await misplaced(world)).toEqual([])
    expect((await dueStreams(world.db)).map(({ stream }) => stream)).toEqual([])
  }
  await check()
  await world.db.query("select hubspot.resync('thing')")
  await world.drain()
  await check()
}

/** A statement of the user's that is refused with a reason of ours, or that names what is not there just now. */
function refusal(error: unknown): undefined {
  expect((error as { code: string }).code).toMatch(/^(SH1\d\d|42703|42P07|2BP01|55P03)$/)
}

/** Columns of another type than is said, or wanted; problems that are no more, or are not told. */
async function misplaced(world: World): Promise<unknown[]> {
  return world.db.query(`
    select p.property, p.column_type, format_type(a.atttypid, null) as is, hubspot_private.column_type_wanted(q) as wanted
    from hubspot.properties p
    join hubspot_private.properties q on q.object = p.object and q.property = p.property
    left join pg_attribute a on a.attrelid = 'hubspot.thing'::regclass and a.attname = p.column_name and not a.attisdropped
    where p.object = 'thing' and p.column_name is not null
      and (a.atttypid is distinct from p.column_type::regtype or p.column_type <> hubspot_private.column_type_wanted(q))
    union all
    select q.property, q.code, q.message, null from hubspot.problems q
    where q.resolved_at is null and not (q.code = 'SH209' and exists (select from hubspot.thing t where t.id = q.record_id and t._extra ? q.property))
    union all
    select e.key, t.id::text, e.value::text, null from hubspot.thing t cross join lateral jsonb_each(t._extra) e
    where not exists (select from hubspot.problems q where q.resolved_at is null and q.code = 'SH209' and q.record_id = t.id and q.property = e.key)`)
}
