import { bar, columns, count, paint } from '../cli/support/screen.ts'
import { Refused } from '../lib/errors.ts'
import { printableAll } from '../lib/printable.ts'
import { formatDuration, sleep } from '../lib/time.ts'
import type { Stage } from './stage.ts'

/** An object as the load's picture shows it. */
export type Loading = {
  object: string
  state: string
  rows: number
  progress: number
  eta_ms: number | null
  last_error: string | null
}

/** Stores a token, and returns once a worker has found it good. Refused SH201 or the like when it is not. */
export async function connect({ db, signal, sql }: Stage, token: string): Promise<string> {
  await sql('select hubspot.connect(access_token => $1)', [token], "select hubspot.connect(access_token => '…')")
  for (;;) {
    const { rows } = await db.pool.query<{ ok: boolean; message: string; code: string | null; problem: string | null; hint: string | null }>(
      `select h.ok, h.message, p.code, p.message as problem, p.hint
       from hubspot.health() h
       left join hubspot.problems p on p.object is null and p.property in ('token', 'new token') and p.resolved_at is null
       where h.name = 'account' order by p.last_seen_at desc limit 1`,
    )
    const [account] = rows
    if (account?.code === 'SH201' || account?.code === 'SH204') {
      throw new Refused(account.code, account.problem ?? account.message, { status: 401, category: '', hint: account.hint ?? '' })
    }
    if (account?.ok === true) return account.message
    await sleep(50, signal)
  }
}

/** Shows the first load until every object is loaded or parked; returns the objects as they then stand. */
export async function watchLoad({ db, picture, signal }: Stage): Promise<Loading[]> {
  const began = performance.now()
  for (;;) {
    const { rows } = await db.pool.query<Loading>(
      `select object, state, rows::integer, progress::double precision, extract(epoch from eta)::double precision * 1000 as eta_ms, last_error
       from hubspot.status order by object`,
    )
    const isOver = rows.length > 0 && rows.every(({ state }) => !['waiting', 'backfilling'].includes(state))
    if (isOver) {
      picture.end(pictureOf(rows))
      const all = rows.reduce((sum, { rows: some }) => sum + some, 0)
      const seconds = (performance.now() - began) / 1_000
      picture.above(`${paint('green', '✓')} ${count(all)} records loaded ${paint('gray', `${formatDuration(seconds * 1_000)}, ${count(Math.round(all / seconds))} a second within HubSpot's limits`)}`)
      return rows
    }
    picture.show(pictureOf(rows))
    await sleep(200, signal)
  }
}

function pictureOf(rows: Loading[]): string {
  return columns(
    printableAll(rows).map(({ object, state, rows: read, progress, eta_ms, last_error }) => [
      `  ${object}`,
      paint(state === 'parked' ? 'red' : 'green', bar(progress)),
      count(read),
      `${Math.floor(progress * 100)} %`,
      state === 'backfilling' && eta_ms !== null ? `${formatDuration(eta_ms)} left` : state,
      ...(last_error === null ? [] : [last_error]),
    ]),
    [2, 3],
  )
}
