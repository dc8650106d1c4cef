import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '../../src/lib/log.ts'
import { type RunningWorker, startWorker } from '../../src/worker.ts'
import { spawnWorker, type WorkerProcess } from '../../test/support/worker-process.ts'
import type { House } from './house.ts'

/** Where a HubSpot of a benchmark listens: the sandbox, or finished answers. */
type HubSpot = { url: string; token: string }

/** Connects a HubSpot, with budgets that never bind. */
export async function connect(house: House, hubspot: HubSpot): Promise<void> {
  await house.db.pool.query(
    `select hubspot.connect(access_token => $1), hubspot.set_quota('burst', 10000000), hubspot.set_quota('search', 1000000),
       hubspot.set_quota('daily', 100000000)`, [hubspot.token])
}

/** A worker in this process, whose CPU time process.cpuUsage() counts. */
export function workerHere(house: House, hubspot: HubSpot): Promise<RunningWorker> {
  return startWorker({ databaseUrl: house.url, hubspot: { baseUrl: hubspot.url }, log: createLog({ level: 'error' }) })
}

/** A worker in a process of its own, whose memory is its own. */
export async function workerAlone(house: House, hubspot: HubSpot, env: NodeJS.ProcessEnv = {}): Promise<WorkerProcess & { peakMb(): number }> {
  const worker = await spawnWorker(house.url, hubspot.url, env)
  return { ...worker, peakMb: () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${worker.pid}/status`, 'utf8'))?.[1]) / 1024 }
}

/** Tracks an object, waits for its first load, and returns how long the load took, in seconds. */
export async function loadWhole(house: House, object: string): Promise<number> {
  const { pool } = house.db
  await pool.query('select hubspot.track($1)', [object])
  for (;;) {
    const { rows } = await pool.query<{ seconds: number }>(
      `select extract(epoch from finished_at - started_at)::float8 as seconds from hubspot.runs
       where object = $1 and stream = 'backfill' and state = 'done' order by id desc limit 1`, [object])
    if (rows[0] !== undefined) return rows[0].seconds
    const { rows: problems } = await pool.query<{ code: string; message: string }>(
      `select code, message from hubspot.problems where object in ($1, '*') and record_id is null and resolved_at is null`, [object])
    if (problems[0] !== undefined) throw new Error(`${object} is not loaded: ${problems[0].code} ${problems[0].message}`)
    await sleep(100)
  }
}
