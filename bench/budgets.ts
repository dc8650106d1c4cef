import { setTimeout as sleep } from 'node:timers/promises'
import type { Figure } from './support/figure.ts'
import { type House, openHouse } from './support/house.ts'
import { type SandboxProcess, spawnSandbox } from './support/sandbox.ts'
import { workerAlone } from './support/worker.ts'

const OBJECTS = ['contacts', 'companies', 'deals', 'tickets']
const BUDGETS = [{ kind: 'burst', limit: 190, period: 10_000 }, { kind: 'search', limit: 5, period: 1_000 }] as const
/** What is counted, ms, after this long from the first call. */
const [FROM, FOR] = [10_000, 30_000]

type Call = { arrivedAt: number; kind: string; status: number }

/** What is asked of HubSpot, of what can be asked without refusals, while there is work for both budgets. */
export async function run(): Promise<Figure[]> {
  return [...(await measure(1)), ...(await measure(4))]
}

async function measure(processes: number): Promise<Figure[]> {
  await using house = await openHouse()
  await using sandbox = await spawnSandbox()
  for (const object of OBJECTS) await sandbox.control('POST', `/seed/${object}`, { count: 25_000 })
  await sandbox.control('PATCH', '/settings', { limits: true, burst: 190, daily: 10_000_000, latency: [20, 150], uplink: 0.5 })
  await prepare(house, sandbox)
  await using workers = new AsyncDisposableStack()
  for (let i = 0; i < processes; i += 1) workers.use(await workerAlone(house, sandbox))
  while ((await callsOf(sandbox)).length === 0) await sleep(100)
  await sleep(FROM)
  // Schedules that do not fit are stretched until they do: what is asked for beside them is not.
  const asking = new AbortController()
  const asked = (async () => {
    while (!asking.signal.aborted) {
      await house.db.pool.query('select hubspot.sync()')
      await sleep(200)
    }
  })()
  // J as it is learned on the way.
  const spreads: Record<string, number[]> = { burst: [], search: [] }
  for (const until = performance.now() + FOR; performance.now() < until; await sleep(1_000)) {
    const { rows } = await house.db.pool.query<{ budget: string; spread: number }>(
      `select budget, spread_ms::float8 as spread from hubspot.quota where spread_ms is not null`)
    for (const { budget, spread } of rows) spreads[budget]!.push(spread)
  }
  asking.abort()
  await asked
  const calls = await callsOf(sandbox)
  const over = calls.filter(({ status }) => status === 429).length
  const who = processes === 1 ? '1 process' : `${processes} processes`
  return [
    { number: 8, name: `429s, ${who}`, value: over, unit: 'calls', goal: { most: 0 }, from: `${calls.length} calls` },
    ...BUDGETS.map((budget): Figure => {
      const spread = mean(spreads[budget.kind]!)
      const { used, count } = useOf(calls.filter(({ kind }) => (kind === 'search') === (budget.kind === 'search')), budget)
      const reachable = budget.period / (budget.period + spread)
      return {
        number: 8, name: `${budget.kind}, ${who}: use of W/(W+J)`, value: used / reachable, unit: '×', goal: { least: 0.98 },
        from: `${count} calls, ${(used * 100).toFixed(1)} % of the limit; J ${spread.toFixed(0)} ms: ${(reachable * 100).toFixed(1)} % can be had`,
      }
    }),
  ]
}

/** More to ask than both budgets give, with a day that is not short: first loads for burst; polls and settle passes, each second, for search. */
async function prepare(house: House, sandbox: SandboxProcess): Promise<void> {
  const { pool } = house.db
  await pool.query('select hubspot.connect(access_token => $1)', [sandbox.token])
  await pool.query(`select hubspot.track(o, properties => '{hs_object_id}') from unnest($1::text[]) o`, [OBJECTS])
  await pool.query(
    `select hubspot.schedule(o, s, every => '1 second') from unnest($1::text[]) o, unnest('{poll,settle}'::text[]) s`, [OBJECTS])
}

const callsOf = async (sandbox: SandboxProcess) => (await sandbox.control<{ calls: Call[] }>('GET', '/calls')).calls

/** The part of a limit that was used in the time that is counted: calls over the time from the first to the last. */
function useOf(calls: readonly Call[], { limit, period }: { limit: number; period: number }): { used: number; count: number } {
  const last = Math.max(...calls.map(({ arrivedAt }) => arrivedAt))
  const counted = calls.filter(({ arrivedAt }) => arrivedAt > last - FOR).map(({ arrivedAt }) => arrivedAt)
  const took = last - Math.min(...counted)
  return { used: ((counted.length - 1) / took) * (period / limit), count: counted.length }
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
