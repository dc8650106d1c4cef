import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { startCluster } from '../src/db/cluster.ts'
import { migrate } from '../src/db/migrate.ts'
import { startSandbox } from '../src/sandbox/index.ts'
import { differences } from '../test/support/compare.ts'
import { spawnWorker, type WorkerProcess } from '../test/support/worker-process.ts'
import type { Figure } from './support/figure.ts'

const RECORDS = Number(process.env['BENCH_RECORDS'] ?? 100_000)
const PROPERTIES = 100
const PROCESSES = 2
/** A round kills one worker, the other, the server, and a worker with the server; every kill is somewhere in its share of the pages. */
const ROUND = ['worker', 'worker', 'postgres', 'both'] as const
const ROUNDS = 6
/** Pages that a part may have asked for and not committed. */
const IN_FLIGHT = 2

/**
 * A first load of 100,000 contacts by two workers that are killed again and again, and so is the server under them: the mirror is
 * compared with HubSpot value by value. Records go by as fast as all of them can, so that kills strike in the middle of commits.
 */
export async function run(): Promise<Figure[]> {
  // The disk is as it is for a user; what a killed postmaster had not written yet comes back from the WAL.
  await using cluster = await startCluster({ settings: { shared_buffers: '256MB', max_wal_size: '4GB' } })
  const url = cluster.url('postgres')
  await migrate(url)
  await using sandbox = await startSandbox({ objects: { contacts: RECORDS }, settings: { limits: false, latency: [5, 15], callsKept: 100_000 } })
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  // The server is killed under it; the next query opens a connection anew.
  pool.on('error', () => undefined)
  const query = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) => (await pool.query<Row>(text, values)).rows
  const answer = await fetch(`${sandbox.url}/crm/properties/2026-09/contacts`, { headers: { authorization: `Bearer ${sandbox.token}` } })
  const names = ((await answer.json()) as { results: { name: string }[] }).results.map(({ name }) => name).slice(0, PROPERTIES)
  await query(`select hubspot.connect(access_token => $1), hubspot.set_quota('burst', 10000000), hubspot.set_quota('search', 1000)`, [sandbox.token])
  // After a restart of the server a budget counts as full for one window: here one of a second, not of ten.
  await query(`update hubspot_private.budgets set period = '1 second' where name = 'burst'`)
  await query(`select hubspot.track('contacts', properties => $1)`, [names])

  const pages = () => sandbox.store.calls({ kind: 'list', object: 'contacts' })
  const workers: WorkerProcess[] = []
  const peaks: number[] = []
  const begun = performance.now()
  const killed = { worker: 0, postgres: 0 }
  const start = async () => void workers.push(await spawnWorker(url, sandbox.url))
  const killWorker = async () => {
    const worker = workers.shift()!
    peaks.push(peakMb(worker.pid))
    await worker.end('SIGKILL')
    killed.worker += 1
  }
  const killPostgres = async () => {
    await cluster.kill()
    await cluster.restart()
    killed.postgres += 1
  }
  try {
    for (let i = 0; i < PROCESSES; i += 1) await start()
    const kills = Array.from({ length: ROUNDS }, () => ROUND).flat()
    for (const [i, victim] of kills.entries()) {
      const at = ((RECORDS / 100) * (i + 0.1 + 0.8 * Math.random())) / kills.length
      while (pages().length < at) await sandbox.store.nextCall({ kind: 'list' })
      // At any point between two answers: parsing, waiting for a turn, applying, committing.
      await sleep(Math.random() * 40)
      if (victim !== 'postgres') await killWorker()
      if (victim !== 'worker') await killPostgres()
      if (victim !== 'postgres') await start()
    }
    while ((await query(`select from hubspot.status where object = 'contacts' and state = 'live'`)).length === 0) await sleep(200)
    const seconds = (performance.now() - begun) / 1_000
    peaks.push(...workers.map(({ pid }) => peakMb(pid)))
    const [loaded] = await query<{ state: string; rows_read: string; parts: number }>(
      `select r.state, r.rows_read, (select max(range) + 1 from hubspot_private.ranges where object = 'contacts')::integer as parts
       from hubspot.runs r where r.object = 'contacts' and r.stream = 'backfill'`)
    const db = { pool, query } as unknown as Parameters<typeof differences>[0]
    const found = await differences(db, sandbox, 'contacts')
    for (const line of found) console.log(line)
    const repeats = pages().length - new Set(pages().map(({ after }) => after)).size
    const strikes = `${killed.worker} SIGKILLs of ${PROCESSES} workers, ${killed.postgres} of the server`
    return [
      { number: 16, name: `records that differ after a load of ${RECORDS.toLocaleString('en')} through kills`, value: found.length, unit: 'rows', goal: { most: 0 },
        from: `${strikes}; ${names.length} properties, run ${loaded!.state}, ${loaded!.rows_read} rows read, ${seconds.toFixed(0)} s` },
      { number: 16, name: 'pages asked for again, a kill', value: repeats / (killed.worker + killed.postgres), unit: 'calls', goal: { most: IN_FLIGHT * 8 },
        from: `${repeats} of ${pages().length}` },
      { number: 10, name: 'peak RSS of a worker', value: Math.max(...peaks), unit: 'MB', goal: { most: 200 }, from: `the highest of ${peaks.length} processes` },
    ]
  } finally {
    for (const worker of workers) await worker.end('SIGKILL')
    await pool.end()
  }
}

const peakMb = (pid: number) => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
