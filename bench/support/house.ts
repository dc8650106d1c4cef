import { readFileSync } from 'node:fs'
import pg from 'pg'
import { startCluster } from '../../src/db/cluster.ts'
import { type Database, openDatabase } from '../../src/db/database.ts'
import { migrate } from '../../src/db/migrate.ts'

/** A server of a benchmark's own with the product installed. */
export type House = AsyncDisposable & {
  url: string
  db: Database
  /** One connection, whose backend's CPU time is measured. */
  client: pg.Client
  /** CPU time that a backend has used, µs; the kernel counts in ticks of 10 ms. */
  cpu(pid: number): number
  /** The backend's process id of a connection. */
  pid(client: pg.Client | pg.PoolClient): Promise<number>
  /** Bytes of WAL written so far. */
  wal(): Promise<number>
}

/** Starts a server with everything durable, as one would be set up for this; autovacuum as by default. */
export async function openHouse(settings: Record<string, string> = {}): Promise<House> {
  const cluster = await startCluster({
    settings: {
      shared_buffers: '1GB', max_wal_size: '16GB', checkpoint_timeout: '1h', max_connections: '60', track_io_timing: 'off', ...settings,
    },
  })
  const url = cluster.url()
  await migrate(url)
  const db = openDatabase(url, { max: 20 })
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return {
    url, db, client,
    cpu(pid) {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return (Number(fields[11]) + Number(fields[12])) * 10_000
    },
    pid: async (connection) => (await connection.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid,
    wal: async () => Number((await client.query<{ lsn: string }>(`select pg_current_wal_insert_lsn() - '0/0' as lsn`)).rows[0]!.lsn),
    async [Symbol.asyncDispose]() {
      await client.end()
      await db.close()
      await cluster.stop()
    },
  }
}

/** A database of one connection, so that its backend is known. */
export function single(house: House): Database {
  const db = openDatabase(house.url, { max: 1 })
  // An idle one would be closed after 10 s, and its CPU time be gone with it.
  db.pool.options.idleTimeoutMillis = 0
  return db
}

/** The middle one; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
