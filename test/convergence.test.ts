import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isGuarded, type ObjectName, pairsOf, scenario, type Scenario } from './support/arbitraries.ts'
import { edgeDifferences } from './support/compare.ts'
import { definitionDifferences, mergeDifferences } from './support/compare-definitions.ts'
import { followFeed } from './support/feed.ts'
import { createPlay, type Play, trackAll } from './support/play/play.ts'
import { smallPages } from './support/play/small-pages.ts'
import { startWorld, type World } from './support/sync.ts'

const MINUTE = 60_000

// Each seed is a test of its own. CONVERGENCE_SEED=n runs that one alone, and shortens it when it fails.
const chosen = process.env['CONVERGENCE_SEED']
const runs = Number(process.env['CONVERGENCE_RUNS'] ?? 30)
const first = Number(process.env['CONVERGENCE_FIRST'] ?? 1)
const seeds = chosen === undefined ? Array.from({ length: runs }, (_, i) => first + i) : [Number(chosen)]

test.for(seeds)('after any interleaving of edits, faults and crashes the mirror is the sandbox: seed %i', { timeout: chosen === undefined ? 120_000 : 3_600_000 }, async (seed) => {
  const isShrinking = process.env['CONVERGENCE_SHRINK'] !== undefined
  await fc.assert(fc.asyncProperty(scenario, converges), { seed, numRuns: 1, endOnFailure: !isShrinking, verbose: 0 })
})

async function converges(what: Scenario): Promise<void> {
  await using world = await startWorld('convergence', {
    sandbox: { seed: what.order, objects: what.counts, settings: what.settings },
    client: (client, sandbox) => smallPages(client, sandbox, what),
  })
  await world.db.query("select hubspot.configure('max_ranges', $1::integer), hubspot.configure('range_records', 1), hubspot.set_quota('burst', $2)", [what.parts, what.burst])
  if (isGuarded(what)) await world.db.query("select hubspot.configure('held_deletes', 0), hubspot.configure('held_deletes_percent', 0)")
  const play = createPlay(world, what)
  const names = Object.keys(what.counts) as ObjectName[]
  const feed = followFeed(world.db, names)
  const check = async (when: string, ignored?: ReadonlySet<string>) => {
    const different = await Promise.all(names.map((object) => world.differences(object, { ignore: (id) => ignored?.has(`${object} ${id}`) ?? false })))
    const edges = await Promise.all(pairsOf(what.counts).map(([from, to]) => edgeDifferences(world.db, world.sandbox, from, to)))
    const merges = await Promise.all(names.map((object) => mergeDifferences(world.db, world.sandbox, object, {
      chains: play.merges(object), hasHeard: (lost, id) => play.hasHeard(object, lost, id),
    })))
    const definitions = await definitionDifferences(world.db, world.sandbox, names)
    const left = await untidy(world, play, names, ignored, new Set(what.commands.map((command) => command.do)))
    expect([...play.violations, ...different.flat(), ...edges.flat(), ...merges.flat(), ...definitions, ...(await feed.differences()), ...left], when).toEqual([])
  }
  try {
    await trackAll(world, what)
    if (what.isLoaded) await play.rest()
    // What comes is followed from here on.
    expect(await feed.differences()).toEqual([])
    for (const command of [...what.commands, { do: 'check', turns: 0 } as const]) {
      await play.perform(command)
      if (command.do !== 'check') continue
      await settle(world, play, what)
      await check('once all is settled', play.unseen)
    }
    // What was seen gone and is not listed as archived is looked for twice.
    for (let sweeps = 0; sweeps < 3; sweeps += 1) {
      await world.advance(61 * MINUTE)
      await play.rest()
    }
    world.store.resetCalls()
    await world.advance(61 * MINUTE)
    await play.rest()
    expect(world.store.calls({ kind: 'batch read' }), 'nothing is read again once all is known').toEqual([])

    if (isGuarded(what)) await world.db.query('select hubspot.verify(object) from hubspot.object_types where is_tracked')
    else await world.db.query('select hubspot.resync()')
    await play.rest()
    // What it was not sure of is read once more.
    for (let rounds = 0; rounds < 10 && (await world.db.query('select from hubspot_private.fetch_queue')).length > 0; rounds += 1) {
      await world.advance(await untilNextTry(world))
      await play.rest()
    }
    await check('after a full read')
  } catch (error) {
    console.log(world.lines.filter((line) => /(poll|settle) of .*failed/.test(line)).slice(0, 12).join("\n"))
    console.log(play.trace.slice(-Number(process.env['CONVERGENCE_TRACE'] ?? 60)).join('\n'))
    throw error
  }
}

/** Ends every trouble, lets more than the widest settle window pass, and goes on until all that was queued is read. */
async function settle(world: World, play: Play, what: Scenario): Promise<void> {
  await play.finish()
  // What is due in an hour by a clock that was set back is so later.
  const setBackMs = what.commands.reduce((sum, command) => sum + (command.do === 'jump' ? Math.max(-command.ms, 0) : 0), 0)
  await world.advance(62 * MINUTE + setBackMs)
  const [{ now }] = (await world.db.query('select hubspot_private.clock() as now')) as [{ now: string }]
  for (let rounds = 0; rounds < 60; rounds += 1) {
    await play.rest()
    if (await isQuiet(world, now)) return
    await world.advance(await untilNextTry(world))
  }
  const stuck = await world.db.query(
    `select concat_ws(' ', s.object, s.stream, s.range, s.cursor, r.error_code, r.error) as stuck
     from hubspot_private.streams s left join hubspot_private.runs r on r.id = s.run_id
     where s.failures > 0 or s.run_id is not null or s.stream in (${PASSES}) and not exists (
       select from hubspot_private.runs d
       where (d.object, d.stream, d.range) = (s.object, s.stream, s.range) and d.state = 'done' and d.started_at >= $1::timestamptz)
     union all
     select format('to fetch: %s', q) from hubspot_private.fetch_queue q
     union all
     select format('associations to read: %s', d) from hubspot_private.association_dirty d
     union all
     select format('changes its type: %s', p) from hubspot_private.properties p where p.next_column is not null
     limit 5`,
    [now],
  )
  throw new Error(`not settled: ${JSON.stringify(stuck, null, 1)}`)
}

/** Streams that must have passed once all trouble has ended. */
const PASSES = `'poll', 'settle', 'archive', 'associations', 'schema'`

async function isQuiet({ db }: World, since: string): Promise<boolean> {
  const [quiet] = await db.query<{ is_quiet: boolean }>(
    `select not exists (select from hubspot_private.fetch_queue)
       and not exists (select from hubspot_private.association_dirty)
       and not exists (select from hubspot_private.properties where next_column is not null)
       and not exists (select from hubspot_private.streams where failures > 0 or retry_at > hubspot_private.clock())
       and not exists (
         select from hubspot_private.streams s
         where s.stream in (${PASSES}) and not exists (
           select from hubspot_private.runs r
           where (r.object, r.stream, r.range) = (s.object, s.stream, s.range) and r.state = 'done' and r.started_at >= $1::timestamptz)) as is_quiet`,
    [since],
  )
  return quiet!.is_quiet
}

/** As long as whoever waits for another try waits: a spent day lasts until midnight. */
async function untilNextTry({ db }: World): Promise<number> {
  const [next] = await db.query<{ ms: number | null }>(
    `select extract(epoch from max(t.at) - hubspot_private.clock())::float8 * 1000 as ms
     from (
       select s.retry_at as at from hubspot_private.streams s where s.retry_at is not null
       union all
       select q.not_before from hubspot_private.fetch_queue q
       union all
       select d.not_before from hubspot_private.association_dirty d
     ) t`,
  )
  return Math.min(Math.max(Math.ceil(next?.ms ?? 0) + 1, MINUTE), 48 * 60 * MINUTE)
}

/** What must not be left behind. */
async function untidy(
  { db, store }: World, play: Play, names: readonly ObjectName[], unseen: ReadonlySet<string> | undefined, done: ReadonlySet<string>,
): Promise<string[]> {
  const left = await db.query<{ what: string }>(
    `select format('to fetch: %s %s (%s)', object, id, reason) as what from hubspot_private.fetch_queue
     union all
     select format('associations to read: %s', d) from hubspot_private.association_dirty d
     union all
     select format('run %s of %s %s is %s', r.id, r.object, r.stream, r.state)
     from hubspot_private.runs r
     left join hubspot_private.objects o on o.name = r.object
     left join hubspot_private.pairs p on r.stream = 'associations' and p.number = r.range
     -- What was under way when it was untracked, or waited to be confirmed when the next began.
     where r.state <> 'done'
       and not (r.state = 'stopped' and (r.stream = 'resync' and hubspot_private.setting('held_deletes') = '0' or r.finished_at <= greatest(o.tracked_at, p.tracked_at) + interval '1 hour'))
     union all
     select format('audit of %s: %s', a.object, to_jsonb(a))
     from hubspot.audits a
     -- No row is too many twice, nor more of them put right than were wrong.
     where a.repaired > a.missing + a.extra + a.different
       or (select count(distinct e) <> count(*) from jsonb_array_elements(a.examples -> 'extra') e)
     union all
     select format('run %s of %s %s took %s versions for older ones than HubSpot had', id, object, stream, regressed) from hubspot.runs where regressed > 0 and not ${done.has('behind')}
     union all
     select format('%s was loaded %s times', o.name, l.count)
     from hubspot_private.objects o
     cross join lateral (
       select count(*) filter (where r.requested_at >= o.tracked_at), count(*) as all
       from hubspot_private.runs r where r.object = o.name and r.stream = 'backfill') l
     -- By a clock that was set nobody can say which were before it was tracked again.
     where o.is_tracked and case when ${done.has('jump')} then l.all = 0 else l.count <> 1 end
     union all
     select format('%s %s is held by %s', object, stream, holder) from hubspot_private.streams where holder is not null
     union all
     select format('%s %s failed %s times', object, stream, failures) from hubspot_private.streams where failures > 0
     union all
     select format('problem %s: %s %s %s', code, object, record_id, message) from hubspot.problems where resolved_at is null and code not in ('SH103', 'SH209')`,
  )
  const found = left.map(({ what }) => what)
  // A property that is chosen by name and archived is one, as long as that lasts.
  for (const { object, property } of await db.query<{ object: ObjectName; property: string }>("select object, property from hubspot.problems where resolved_at is null and code = 'SH103'")) {
    if (!play.isArchived(object, property)) found.push(`${object}.${property} is said not to be there`)
  }
  for (const object of names) {
    const [counted] = await db.query<{ rows: string; counted: string; live: string }>(
      `select rows, (select count(*) from hubspot.${object}) as counted,
         (select count(*) from hubspot.${object} t where to_jsonb(t) ->> '_archived_at' is null) as live
       from hubspot.status where object = $1`,
      [object],
    )
    if (counted!.rows !== counted!.counted) found.push(`${object}: status says ${counted!.rows} rows, there are ${counted!.counted}`)
    const open = await db.query<{ record_id: string }>("select distinct record_id from hubspot.problems where object = $1 and code = 'SH209' and resolved_at is null order by 1", [object])
    const misfits = await db.query<{ record_id: string }>(`select id as record_id from hubspot.${object} t
       where _extra - array(select property from hubspot.properties where object = $1 and archived_at is not null) <> '{}' and to_jsonb(t) ->> '_archived_at' is null order by 1`, [object])
    const said = open.map((row) => row.record_id).join(' ')
    const wanted = misfits.map((row) => row.record_id).join(' ')
    if (said !== wanted) found.push(`${object}: problems of values of ${said || 'none'}, but values that do not fit of ${wanted || 'none'}`)
    if (!unseen?.size && Number(counted!.live) !== store.count(object)) found.push(`${object}: ${counted!.live} rows of ${store.count(object)} records`)
  }
  return found
}
