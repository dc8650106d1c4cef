import type { StreamKey } from '../../../src/db/calls.ts'
import type { Client } from '../../../src/hubspot/client.ts'
import { createLiveReads } from '../../../src/sync/live.ts'
import { runStream, type SyncDeps } from '../../../src/sync/step.ts'
import { type Command, isGuarded, type ObjectName, OBJECTS, pairsOf, type Scenario } from '../arbitraries.ts'
import { type Actor, actor, createGates, type Point, prng, settled } from '../interleave.ts'
import { dueStreams, watchedDatabase, type World } from '../sync.ts'
import { createHands } from './hands.ts'
import { createHeard } from './heard.ts'

/** Two workers on one database, moved on one call at a time, in an order drawn by a seed. */
export type Play = {
  /** What happened, line by line. */
  trace: string[]
  /** What may never happen, whatever the end looks like. */
  violations: string[]
  /** Records whose values changed without a new date: only a full read finds them. */
  /** Records that changed as only a full read sees. */
  unseen: ReadonlySet<string>
  /** Merges of an object: each lost id, with the ids that it led to, one after another. */
  merges(object: ObjectName): ReadonlyMap<string, readonly string[]>
  /** Whether an answer that was taken in told that one record is part of another. */
  hasHeard(object: ObjectName, lost: string, id: string): boolean
  /** Whether a property is archived in HubSpot now. */
  isArchived(object: ObjectName, name: string): boolean
  /** Something happens; then the workers have their turns. */
  perform(command: Command): Promise<void>
  /** No more kills and freezes: everyone goes on, and what is due is done. */
  finish(): Promise<void>
  /** Runs what is due until nothing is. */
  rest(): Promise<void>
}

/** Streams that run side by side; more wait. */
const AT_ONCE = 5
/** Opened points without an end in sight: something runs for ever. */
const MOST_TURNS = 6_000

/** Sets a scenario up: its objects are tracked, and nothing has run yet but their definitions. */
export function createPlay(world: World, scenario: Scenario): Play {
  const { order, parallel, slow } = scenario
  const { db, store } = world
  const gates = createGates()
  const random = prng(order)
  const below = (count: number) => Math.floor(random() * count)
  const trace: string[] = []
  const violations: string[] = []
  const heard = createHeard()
  const running = new Map<Promise<unknown>, { name: string; who: Actor }>()
  let turns = 0
  /** Until which turn a point waits at least: some answers are slow, so that others overtake them. */
  const waits = new WeakMap<Point, number>()
  let workers: { who: Actor; held: SyncDeps['held'] }[] = []
  const hire = () => workers.push({ who: actor(`w${++hired}`), held: new Set() })
  let hired = 0
  hire()
  hire()
  const thawed: Actor[] = []

  const start = ({ object, stream, range }: StreamKey) => {
    begin(`${object}.${stream}${range || ''}`, `${object} ${stream} ${range}`, (deps) => runStream(deps, { object, stream, range }))
  }

  const begin = (what: string, name: string, run: (deps: SyncDeps) => Promise<string>) => {
    const { who, held } = workers[below(workers.length)]!
    const label = `${who.name} ${what}`
    const database = watchedDatabase(world.deps.db, (text, values, query) => {
      const called = /hubspot_private\.(\w+)\(/.exec(text)?.[1] ?? 'query'
      return gates.pass(who, `${label} ${called}`, async () => {
        try {
          const result = await query()
          heard.note(called, values, result)
          return result
        } catch (error) {
          if ((error as { code?: unknown }).code === '40P01') violations.push(`${label} ${called}: ${String(error)}`)
          throw error
        }
      })
    })
    const hubspot: Client = {
      ...world.deps.hubspot,
      request: (request) => gates.pass(who, `${label} ${request.path.split('/').slice(-2).join('/')}`, () => world.deps.hubspot.request(request)),
    }
    const deps = world.worker(who.name, {
      db: database, hubspot, held,
      sliceMs: below(3) === 0 ? 0 : 60_000,
      sleep: (ms, signal) => (ms > 0 ? gates.pass(who, `${label} sleep`, () => world.deps.sleep(ms, signal)) : Promise.resolve()),
    })
    trace.push(`${label} begins`)
    const slice = run(deps).then(
      (outcome) => trace.push(`${label} ends: ${outcome}`),
      (error: unknown) => trace.push(`${label} ends: ${String(error)}`),
    ).finally(() => running.delete(slice))
    running.set(slice, { name, who })
  }

  const open = async (points: readonly Point[]) => {
    for (const point of points) trace.push(`  ${point.what}`)
    await Promise.all(points.map((point) => point.open()))
    await settled()
  }
  const waitOf = (point: Point) => {
    let wait = waits.get(point)
    if (wait === undefined) {
      // What changes nothing anybody else sees is mostly let through at once; calls and commits are what meets.
      const isPlain = /(stream_claim|quota_take|sleep|problem_report)[?!]$|step_commit!$/.test(point.what)
      wait = isPlain && random() < 0.9 ? -1 : !isPlain && random() < slow ? turns + 4 + below(50) : 0
      waits.set(point, wait)
    }
    return wait
  }
  const ready = () => gates.points.filter((point) => !point.actor.isFrozen)
  const passPlain = async () => {
    for (let plain; (plain = ready().filter((point) => waitOf(point) < 0)).length > 0; ) await open(plain.slice(0, parallel))
  }

  /** Begins something that is due, or lets some calls go on; false: there was nothing to do. */
  const turn = async (): Promise<boolean> => {
    turns += 1
    await passPlain()
    const waiting = ready()
    const points = waiting.filter((point) => waitOf(point) <= turns)
    const awake = [...running.values()].filter(({ who }) => !who.isFrozen)
    if (awake.length < AT_ONCE && (points.length === 0 || below(3) === 0)) {
      const names = new Set(awake.map(({ name }) => name))
      const due = (await dueStreams(db)).filter(({ object, stream, range }) => !names.has(`${object} ${stream} ${range}`))
      // A job is only a wake-up: now and then one comes for a stream that is held, or has nothing to do.
      const any = below(8) === 0 ? await db.query<StreamKey>('select object, stream, range from hubspot_private.streams order by 1, 2, 3') : []
      const key = any.length > 0 ? any[below(any.length)] : due[below(due.length)]
      if (key !== undefined) {
        start(key)
        await settled()
        return true
      }
    }
    const those = points.length > 0 ? points : waiting
    if (those.length === 0) return false
    const chosen = new Set(Array.from({ length: 1 + below(parallel) }, () => those[below(those.length)]!))
    await open([...chosen])
    return true
  }

  const beat = async () => {
    for (const { who, held } of workers) {
      if (who.isFrozen || held.size === 0) continue
      await db.query('select hubspot_private.worker_beat(id => $1, host => $2, pid => 1, queue_ids => $3, held => $4)', [who.name, 'test', [], JSON.stringify([...held])])
    }
  }
  const advance = async (ms: number) => {
    await world.advance(ms)
    // Leases of the living last; now and then even they were too busy to say so.
    if (below(4) > 0) await beat()
  }

  /** Says that what full reads found gone may go; false: none waits. */
  const confirm = async () => {
    const held = await db.query<{ object: string }>(
      "select object, hubspot.confirm_deletes(run_id) from hubspot_private.streams where run_id is not null and cursor ->> 'absences' = 'held'")
    for (const { object: name } of held) trace.push(`  confirmed for ${name}`)
    return held.length > 0
  }

  const rest = async () => {
    for (let left = MOST_TURNS; ; left -= 1) {
      if (left === 0) throw new Error(`no end: ${JSON.stringify(await dueStreams(db))}, waiting: ${gates.points.map(({ what }) => what).join('; ')}`)
      if (!(await turn()) && !(await confirm())) return
    }
  }

  const hands = createHands(world, scenario, trace)
  const perform = async (command: Command) => {
    // A record changed twice in one millisecond with a read between is for a resync alone to see.
    if (command.do !== 'advance') store.advance(1)
    trace.push(`— ${JSON.stringify(command)}`)
    switch (command.do) {
      case 'advance':
        await advance(command.ms)
        if (isGuarded(scenario) && below(4) === 0) await confirm()
        break
      case 'beat':
        await beat()
        break
      case 'kill': {
        const [dead] = workers.splice(command.worker, 1)
        gates.kill(dead!.who)
        await settled()
        hire()
        break
      }
      case 'freeze': {
        const frozen = workers[command.worker]!
        frozen.who.isFrozen = true
        thawed.push(frozen.who)
        workers = workers.filter((worker) => worker !== frozen)
        hire()
        break
      }
      case 'thaw':
        // It knows nothing of what happened meanwhile, and goes on where it stood.
        for (const who of thawed.splice(0)) who.isFrozen = false
        break
      case 'lose': {
        const queries = ready().filter(({ what }) => /stream_claim|step_commit|stream_release|stream_fail|quota_take/.test(what))
        queries[command.pick % Math.max(queries.length, 1)]?.fail(new Error('Connection terminated unexpectedly'))
        await settled()
        break
      }
      case 'jump':
        await db.query('update hubspot_private.installation set clock_shift = clock_shift + make_interval(secs => $1::double precision / 1000)', [command.ms])
        break
      case 'live': {
        const ids = !hands.isTracked(command.object) ? [] : hands.choose(command.object, command.pick, command.count)
        // It waits for no stream: what the read itself does not settle, the queue does in its own time.
        if (ids.length > 0) {
          begin(`${command.object} live`, `live ${++hired}`, async (deps) => {
            await createLiveReads(deps).records(command.object, [...ids, '7'], { maxAgeMs: 0, mostMs: 1 })
            return 'done'
          })
        }
        await settled()
        break
      }
      case 'check':
        break
      default:
        await hands.perform(command)
    }
    for (let left = command.turns; left > 0; left -= 1) {
      if (await turn()) continue
      // Idle: time passes, and mostly something else happens first.
      await advance(1 + below(12_000))
      if (below(3) > 0) break
    }
  }

  return {
    trace,
    violations,
    unseen: hands.unseen,
    merges: hands.merges,
    hasHeard: heard.merge,
    isArchived: hands.isArchived,
    perform,
    rest,
    async finish() {
      for (const who of thawed.splice(0)) who.isFrozen = false
      await hands.finish()
      await rest()
    },
  }
}

/** Tracks a scenario's objects and reads their definitions; the first loads are due then. */
export async function trackAll(world: World, { counts, isAll, onDelete = 'delete' }: Pick<Scenario, 'counts'> & Partial<Pick<Scenario, 'isAll' | 'onDelete'>>): Promise<void> {
  for (const object of Object.keys(counts) as ObjectName[]) {
    await world.db.query('select hubspot.track($1, $2, $3)', [object, isAll && object === 'vehicle' ? null : OBJECTS[object], onDelete])
    await world.run(object, 'schema')
  }
  for (const [from, to] of pairsOf(counts)) await world.db.query('select hubspot.track_associations($1, $2)', [from, to])
}
