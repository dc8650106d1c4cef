import { setTimeout as sleep } from 'node:timers/promises'
import type { Figure } from './support/figure.ts'
import { type House, openHouse } from './support/house.ts'
import { type SandboxProcess, spawnSandbox } from './support/sandbox.ts'
import { workerAlone } from './support/worker.ts'

/** HubSpot's limits by tier; search is 5 a second for all. */
const TIERS = { 'Free and Starter': { burst: 100, daily: 250_000 }, Professional: { burst: 190, daily: 625_000 }, Enterprise: { burst: 190, daily: 1_000_000 } }
type Tier = keyof typeof TIERS
type Plan = { tier: Tier; share: number; objects: number; most: number }
const PLANS: readonly Plan[] = [
  { tier: 'Free and Starter', share: 1 / 3, objects: 20, most: 60 },
  { tier: 'Professional', share: 1 / 3, objects: 40, most: 60 },
  { tier: 'Professional', share: 1, objects: 40, most: 15 },
  { tier: 'Enterprise', share: 1, objects: 40, most: 15 },
]
/** Those that are lived through, and for how many seconds records are edited: each some times as long as its interval. */
const LIVED = new Map([[0, 180], [2, 120]])
const OBJECTS = Array.from({ length: 40 }, (_, i) => `object_${String(i + 1).padStart(2, '0')}`)
const RECORDS = 50

/** How often objects are polled so that all fits into HubSpot's limits, what that takes of a day, and how soon a change is a row. */
export async function run(): Promise<Figure[]> {
  await using house = await openHouse()
  await using sandbox = await spawnSandbox(OBJECTS.flatMap((object) => [`--${object}`, String(RECORDS)]))
  await sandbox.control('PATCH', '/settings', { limits: true, burst: 190, daily: 10_000_000, latency: [20, 150], uplink: 0.5 })
  const { pool } = house.db
  await pool.query('select hubspot.connect(access_token => $1)', [sandbox.token])
  await pool.query(`select hubspot.track(o) from unnest($1::text[]) o`, [OBJECTS])
  await using _ = await workerAlone(house, sandbox)
  // Loaded, and polled a few times: then it is known what a run takes.
  while (Number((await pool.query(`select count(*) as n from hubspot.status where state = 'live'`)).rows[0].n) < OBJECTS.length) await sleep(500)
  await sleep(60_000)
  const figures: Figure[] = []
  for (const [i, plan] of PLANS.entries()) {
    await begin(house, sandbox, plan)
    figures.push(await planned(house, plan))
    const seconds = LIVED.get(i)
    if (seconds !== undefined) figures.push(...(await lived(house, sandbox, plan, seconds)))
  }
  return figures
}

/** The limits of a tier, this product's share of them, and as many objects. */
async function begin({ db: { pool } }: House, sandbox: SandboxProcess, { tier, share, objects }: Plan): Promise<void> {
  const { burst, daily } = TIERS[tier]
  await sandbox.control('PATCH', '/settings', { burst })
  await pool.query(
    `select hubspot.set_quota('burst', $1), hubspot.set_quota('daily', $2), hubspot.set_quota('search', 5), hubspot.set_quota_share($3)`, [burst, daily, share])
  await pool.query(`select case when n > $2 then hubspot.pause(o) else hubspot.resume(o) end from unnest($1::text[]) with ordinality x (o, n)`, [OBJECTS, objects])
}

type Line = { stream: string; calls: number; wanted: number; slowest: number; objects: number }
const linesOf = async ({ db: { pool } }: House) =>
  (await pool.query<Line>(
    `select stream, sum(requests_per_day)::float8 as calls, sum(wanted_per_day)::float8 as wanted,
       coalesce(extract(epoch from max(stretched_every)), 0)::float8 as slowest, count(object)::integer as objects
     from hubspot.forecast group by stream order by 2 desc`)).rows

async function planned(house: House, { tier, share, objects, most }: Plan): Promise<Figure> {
  const lines = await linesOf(house)
  const all = lines.reduce((sum, { calls }) => sum + calls, 0)
  const { daily } = TIERS[tier]
  return {
    number: 13, name: `poll interval that fits, ${nameOf({ tier, share, objects })}`, value: lines.find(({ stream }) => stream === 'poll')!.slowest, unit: 's', goal: { most },
    from: `calls a day ${count(all)} of ${count(daily * share)}: `
      + lines.map(({ stream, calls, wanted, slowest }) =>
        `${stream} ${count(calls)}${slowest > 0 ? ` each ${Number(slowest.toPrecision(3))} s` : ''}${wanted > calls * 1.01 ? `, ${count(wanted)} as scheduled` : ''}`).join('; '),
  }
}

const nameOf = ({ tier, share, objects }: Pick<Plan, 'tier' | 'share' | 'objects'>) => `${tier}, ${share === 1 ? 'all of it' : 'a third'}, ${objects} objects`
const count = (value: number) => Math.round(value).toLocaleString('en')

/** Edits at any time, one after another, each of a record of its own; how long until its row is the edited one. */
async function lived(house: House, sandbox: SandboxProcess, plan: Plan, seconds: number): Promise<Figure[]> {
  const { pool } = house.db
  const tracked = OBJECTS.slice(0, plan.objects)
  const intervals = async () => new Map((await pool.query<{ object: string; every: number }>(
    `select object, extract(epoch from stretched_every)::float8 as every from hubspot.forecast where stream = 'poll'`)).rows.map(({ object, every }) => [object, every]))
  // Until the sweep has looked, and what was under way has come round.
  await sleep(30_000 + 2 * Math.max(...(await intervals()).values()) * 1_000)
  const ids = new Map<string, string[]>()
  for (const object of tracked) ids.set(object, (await pool.query<{ id: string }>(`select id from hubspot.${object} order by random()`)).rows.map(({ id }) => id))
  const before = await intervals()
  await sandbox.control('DELETE', '/calls')
  const edits: { object: string; id: string; at: number }[] = []
  for (const until = Date.now() + seconds * 1_000; Date.now() < until; await sleep(Math.random() * 400)) {
    const object = tracked[Math.floor(Math.random() * tracked.length)]!
    const id = ids.get(object)!.pop()
    if (id === undefined) continue
    edits.push({ object, id, at: Date.now() })
    await sandbox.control('PATCH', `/records/${object}`, { ids: [id], properties: { name: `edit ${edits.length}` } })
  }
  await sleep(2 * Math.max(...before.values()) * 1_000)
  const calls = (await sandbox.control<{ calls: { kind: string; status: number }[] }>('GET', '/calls')).calls
  const after = await intervals()
  const lags: { lag: number; beyond: number }[] = []
  for (const { object, id, at } of edits) {
    const { rows } = await pool.query<{ at: number }>(`select (extract(epoch from _synced_at) * 1000)::float8 as at from hubspot.${object} where id = $1`, [id])
    const lag = (rows[0]!.at - at) / 1_000
    if (lag < 0) throw new Error(`${object} ${id} was edited and not read`)
    lags.push({ lag, beyond: lag - Math.max(before.get(object)!, after.get(object)!) })
  }
  const at = (part: number, of: 'lag' | 'beyond') => lags.map((one) => one[of]).toSorted((a, b) => a - b)[Math.floor((lags.length - 1) * part)]!
  const refused = calls.filter(({ status }) => status === 429).length
  return [{
    number: 13, name: `change to row beyond the interval, p99, ${nameOf(plan)}`, value: at(0.99, 'beyond'), unit: 's', goal: { most: 0.5 },
    from: `search shows edits at once; ${edits.length} edits in ${seconds} s: p50 ${at(0.5, 'lag').toFixed(1)} s, p99 ${at(0.99, 'lag').toFixed(1)} s, slowest ${at(1, 'lag').toFixed(1)} s, `
      + `intervals ${Math.min(...before.values()).toFixed(1)} to ${Math.max(...after.values()).toFixed(1)} s; 20 to 150 ms a call; ${refused} 429s of ${calls.length} calls`,
  }]
}
