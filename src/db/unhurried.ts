import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { Misuse } from '../lib/errors.ts'

/**
 * Runs a transaction that changes what users read: who waits long for a lock holds up every query that comes after. So it is
 * begun again while others hold what it needs, ten times, a second apart. Misuse SH220.
 */
export async function unhurried(client: pg.Client, command: 'install' | 'uninstall', transaction: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.query(`begin; set local lock_timeout = '1s'`)
      await transaction()
      await client.query('commit')
      return
    } catch (error) {
      await client.query('rollback')
      if (!(error instanceof pg.DatabaseError) || (error.code !== '55P03' && error.code !== '40P01')) throw error
      if (tries === 10) {
        throw new Misuse('SH220', `others hold what is to be changed: ${error.message}`, {
          hint: `End their transactions and run pg-hubspot ${command} again: select pid, usename, application_name, query from pg_stat_activity where state like 'idle in transaction%';`,
          cause: error,
        })
      }
    }
    await sleep(1_000)
  }
}
