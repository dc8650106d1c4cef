import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FreshDatabase, freshDatabase, } from './support/cluster.ts'

// The verbs before any worker runs: what they accept, what they refuse, and what they leave for a worker to find.
let db: FreshDatabase

beforeAll(async () => {
  db = await freshDatabase('verbs')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

/** The error that a statement raises: SQLSTATE, message, hint. */
async function refusal(text: string, values?: unknown[]): Promise<{ code: string; message: string; hint: string }> {
  const error: unknown = await db.query(text, values).then(
    () => new Error(`it was accepted: ${text}`),
    (raised: unknown) => raised,
  )
  const { code, message, hint } = error as { code: string; message: string; hint: string }
  return { code, message, hint }
}

const one = async (text: string, values?: unknown[]) => (await db.query(text, values))[0]

describe('track', () => {
  it('takes a standard object by name or type id, and queues a look at its definitions', async () => {
    await db.query(`select hubspot.track('deals'), hubspot.track('0-1', properties => '{email}')`)
    expect(await db.query(`select object, state from hubspot.status order by 1`)).toEqual([
      { object: 'contacts', state: 'waiting' },
      { object: 'deals', state: 'waiting' },
    ])
    const [jobs] = await db.query(
      `select count(distinct payload ->> 'object')::integer as n from graphile_worker._private_jobs where payload ->> 'stream' = 'schema'`,
    )
    expect(jobs).toEqual({ n: 2 })
  })

  it('does nothing at all when the transaction rolls back', async () => {
    const client = await db.pool.connect()
    await client.query(`begin; select hubspot.track('tickets'); rollback`)
    client.release()
    expect(await one(`select count(*)::integer as n from hubspot.status where object = 'tickets'`)).toEqual({ n: 0 })
    expect(await one(`select count(*)::integer as n from graphile_worker.jobs where key like 'hubspot:tickets%'`)).toEqual({ n: 0 })
  })

  it('accepts a name that only the catalogue will know, and refuses it once the catalogue is known', async () => {
    await db.query(`select hubspot.track('vehicle')`)
    expect(await one(`select state from hubspot.status where object = 'vehicle'`)).toEqual({ state: 'waiting' })
    await db.query(`select hubspot.untrack('vehicle')`)
    expect(await db.query(`select 1 from hubspot.object_types where object = 'vehicle'`)).toEqual([])
    await db.query(`update hubspot_private.account set catalogue_at = now()`)
    const error = await refusal(`select hubspot.track('contact')`)
    expect(error).toMatchObject({ code: 'SH102', message: 'HubSpot has no object contact' })
    expect(error.hint).toContain('Did you mean contacts?')
    await db.query(`update hubspot_private.account set catalogue_at = null`)
  })

  it('takes a custom object by whatever name HubSpot has for it', async () => {
    await db.query(`select hubspot_private.schemas_apply('{"results": [{"objectTypeId": "2-77", "name": "ümläut", "fullyQualifiedName": "p1_ümläut"}]}')`)
    await db.query(`select hubspot.track('ümläut')`)
    expect(await one(`select table_name from hubspot.status where object = 'ümläut'`)).toEqual({ table_name: 'ümläut' })
    await db.query(`select hubspot.untrack('ümläut')`)
    expect(await refusal(`select hubspot.track('ümlåut')`)).toMatchObject({ code: 'SH102', hint: expect.not.stringContaining('Did you mean ümlåut') as string })
  })

  it.each([
    [`select hubspot.track(null)`, 'SH102'],
    [`select hubspot.track('')`, 'SH102'],
    [`select hubspot.track('deals; drop table x')`, 'SH102'],
    [`select hubspot.track('deals', on_delete => 'keep')`, 'SH104'],
    [`select hubspot.track('deals', properties => array['dealname', null])`, 'SH104'],
    [`select hubspot.track('deals', properties => array[''])`, 'SH104'],
    [`select hubspot.track('deals', properties => array[['dealname', 'amount'], ['a', 'b']])`, 'SH104'],
    [`select hubspot.refresh('deals', array[array[1, null]])`, 'SH104'],
    [`begin; call hubspot.wait('deals')`, 'SH108'],
    [`select 1; call hubspot.wait('deals') ;`, 'SH108'],
    [`call hubspot.wait('deals', '1 second'); select 1`, 'SH108'],
    [`/* ; */ call /* x; y */ hubspot.wait('a;b') ; -- done; really`, 'SH101'],
    [`do $x$ begin perform 1; call hubspot.wait('a;b'); end $x$;`, 'SH101'],
    [`select hubspot.untrack('companies')`, 'SH101'],
    [`select hubspot.untrack(null)`, 'SH104'],
    [`select hubspot.resync('companies')`, 'SH101'],
    [`select hubspot.sync('companies')`, 'SH101'],
    [`select hubspot.pause('companies')`, 'SH101'],
    [`select hubspot.resume('nothing')`, 'SH101'],
    [`select hubspot.refresh('deals', null)`, 'SH104'],
    [`select hubspot.refresh('deals', array[1, null])`, 'SH104'],
    [`select hubspot.refresh('deals', array[-1])`, 'SH104'],
    [`select hubspot.schedule('deals', 'pol', every => '5 seconds')`, 'SH109'],
    [`select hubspot.schedule('deals', 'poll', every => '0')`, 'SH104'],
    [`select hubspot.schedule('deals', 'poll', every => null)`, 'SH104'],
    [`select hubspot.schedule('deals', 'resync', cron => 'every day')`, 'SH104'],
    [`select hubspot.schedule('deals', 'resync', cron => '0 3 * * *', timezone => 'Mars/Olympus')`, 'SH104'],
    [`select hubspot.unschedule('companies', 'poll')`, 'SH101'],
    [`select hubspot.configure('max_column', 5)`, 'SH107'],
    [`select hubspot.configure('max_columns', 0)`, 'SH112'],
    [`select hubspot.configure('max_columns', 'many')`, 'SH112'],
    [`select hubspot.configure('runs_kept', 'soon')`, 'SH112'],
    [`select hubspot.configure('runs_kept', '10000 years')`, 'SH112'],
    [`select hubspot.configure('hints_kept', 'infinity')`, 'SH112'],
    [`select hubspot.configure('problems_kept', '-infinity')`, 'SH112'],
    [`select hubspot.configure('problems_kept', '101 years')`, 'SH112'],
    [`select hubspot.configure('settle_windows', '["infinity"]')`, 'SH112'],
    [`select hubspot.configure('settle_windows', '[]')`, 'SH112'],
    [`select hubspot.configure('settle_windows', '["never"]')`, 'SH112'],
    [`select hubspot.configure('settle_windows', '[null]')`, 'SH112'],
    [`select hubspot.configure('settle_windows', '[5]')`, 'SH112'],
    [`select hubspot.configure('max_columns', 12.5)`, 'SH112'],
    [`select hubspot.track('контакты')`, 'SH102'],
    [`select hubspot.configure('zzz', true)`, 'SH107'],
    [`select hubspot.set_quota('bursts', 5)`, 'SH111'],
    [`select hubspot.set_quota('burst', 0)`, 'SH104'],
    [`select hubspot.grant_read('nobody_of_this_name')`, 'SH106'],
    [`select hubspot.grant_read(null)`, 'SH106'],
    [`select hubspot.connect(null)`, 'SH104'],
    [`select hubspot.connect('pat na1')`, 'SH104'],
  ])('%s raises %s with a hint', async (text, code) => {
    const error = await refusal(text)
    expect(error).toMatchObject({ code })
    expect(error.message).toMatch(/^[^A-Z]|^HubSpot/)
    expect(error.message).not.toMatch(/\.$/)
    expect(error.hint.length).toBeGreaterThan(5)
    expect(error.hint).not.toContain('Did you mean ?')
  })

  it('offers the command to run for what is not tracked', async () => {
    expect(await refusal(`select hubspot.resync('companies')`)).toEqual({
      code: 'SH101',
      message: 'object companies is not tracked',
      hint: "Run select hubspot.track('companies');",
    })
    expect((await refusal(`select hubspot.resync('compnies')`)).hint).toBe("Run select hubspot.track('companies');")
    expect((await refusal(`select hubspot.verify('deels')`)).hint).toBe('Did you mean deals?')
  })
})

describe('on_change', () => {
  it.each([['ops', '{{insert,update},{delete,associate}}'], ['columns', '{{dealname,amount},{a,b}}']])('takes no array of arrays as %s', async (name, value) => {
    expect(await refusal(`select hubspot.on_change('deals', task => 't', ${name} => $1)`, [value])).toMatchObject({
      code: 'SH104', message: `${name} are an array of arrays`, hint: expect.stringContaining('names alone') as string,
    })
  })
})

describe('work that is asked for', () => {
  it('is a waiting run; asking again returns the same one', async () => {
    const [first] = await db.query<{ id: string }>(`select hubspot.resync('deals') as id`)
    expect(await one(`select hubspot.resync('deals') as id`)).toEqual(first)
    expect(await one(`select object, stream, state from hubspot.runs where id = $1`, [first?.id])).toEqual({
      object: 'deals', stream: 'resync', state: 'waiting',
    })
    expect(await db.query(`select hubspot.resync()`)).toHaveLength(2)
  })

  it('never waits for a worker that holds the stream', async () => {
    const holder = await db.pool.connect()
    await holder.query(`begin; select from hubspot_private.streams for update`)
    await db.query(`set lock_timeout = '200ms'; select hubspot.sync('deals'); select hubspot.resync('deals'); select hubspot.refresh('deals', array[1,2,2])`)
    await holder.query('rollback')
    holder.release()
  })

  it('counts ids to refresh once', async () => {
    expect(await one(`select hubspot.refresh('contacts', array[5, 6, 6]) as n`)).toEqual({ n: 2 })
  })
})

describe('schedules and settings', () => {
  it('are rows that verbs change and put back', async () => {
    await db.query(`select hubspot.schedule('deals', 'poll', every => '5 seconds'),
      hubspot.schedule('deals', 'resync', cron => '0 3 * * sun', timezone => 'Europe/Berlin')`)
    expect(await db.query(`select stream, every, cron, timezone from hubspot.schedules where object = 'deals' order by 1`)).toEqual([
      { stream: 'archive', every: '01:00:00', cron: null, timezone: null },
      { stream: 'poll', every: '00:00:05', cron: null, timezone: null },
      { stream: 'resync', every: null, cron: '0 3 * * sun', timezone: 'Europe/Berlin' },
      { stream: 'schema', every: '00:10:00', cron: null, timezone: null },
      { stream: 'settle', every: '00:02:00', cron: null, timezone: null },
    ])
    await db.query(`select hubspot.unschedule('deals', 'poll')`)
    expect(await one(`select every from hubspot.schedules where object = 'deals' and stream = 'poll'`)).toEqual({ every: '00:00:10' })
  })

  it('take a value of its own type, JSON text, or text', async () => {
    const value = async (name: string) => (await one(`select value from hubspot.settings where name = $1`, [name]))?.['value']
    await db.query(`select hubspot.configure('max_columns', 500)`)
    expect(await value('max_columns')).toBe(500)
    await db.query(`select hubspot.configure('max_columns', '400')`)
    expect(await value('max_columns')).toBe(400)
    await db.query(`select hubspot.configure('runs_kept', interval '3 days'), hubspot.configure('hints_kept', '2 days')`)
    expect(await value('runs_kept')).toBe('3 days')
    expect(await value('hints_kept')).toBe('2 days')
    await db.query(`select hubspot.configure('max_columns', null)`)
    expect(await value('max_columns')).toBe(1000)
  })

  it('give every tracked object one settle stream for each window', async () => {
    await db.query(`select hubspot.configure('settle_windows', '["5 minutes", "30 minutes", "2 hours"]')`)
    expect(await one(`select count(*)::integer as n from hubspot_private.streams where object = 'deals' and stream = 'settle'`)).toEqual({ n: 3 })
    await db.query(`select hubspot.configure('settle_windows', null)`)
    expect(await one(`select count(*)::integer as n from hubspot_private.streams where object = 'deals' and stream = 'settle'`)).toEqual({ n: 2 })
  })

  it('say what budgets there are, and let a limit be chosen and learned again', async () => {
    await db.query(`select hubspot.set_quota('burst', max_requests => 150)`)
    expect(await one(`select max_requests, remaining from hubspot.quota where budget = 'burst'`)).toEqual({ max_requests: 150, remaining: '150' })
    await db.query(`select hubspot.set_quota('burst', null)`)
    expect(await db.query(`select budget, max_requests, throttled_count from hubspot.quota`)).toEqual([
      { budget: 'burst', max_requests: 100, throttled_count: '0' },
      { budget: 'daily', max_requests: 250000, throttled_count: '0' },
      { budget: 'search', max_requests: 5, throttled_count: '0' },
    ])
  })
})

describe('pause and resume', () => {
  it('show in status, for one object and for all', async () => {
    await db.query(`select hubspot.pause('deals')`)
    expect(await one(`select state from hubspot.status where object = 'deals'`)).toEqual({ state: 'paused' })
    await db.query(`select hubspot.pause()`)
    expect(await db.query(`select distinct state from hubspot.status`)).toEqual([{ state: 'paused' }])
    await db.query(`select hubspot.resume()`)
    expect(await db.query(`select distinct state from hubspot.status`)).toEqual([{ state: 'waiting' }])
  })
})

describe('wait', () => {
  it('fails at once inside a transaction block', async () => {
    const client = await db.pool.connect()
    await client.query('begin')
    await client.query('select 1')
    await expect(client.query(`call hubspot.wait('deals')`)).rejects.toMatchObject({ code: 'SH108', hint: 'Run it alone: call hubspot.wait(…);' })
    await client.query('rollback')
    client.release()
  })

  it('says that no worker runs, and times out with that as the hint', async () => {
    const client = await db.pool.connect()
    const notices: string[] = []
    client.on('notice', ({ message }) => notices.push(message ?? ''))
    await expect(client.query(`call hubspot.wait('deals', timeout => '0.5 seconds')`)).rejects.toMatchObject({
      code: 'SH110', hint: 'no worker is running: start one with npx pg-hubspot worker',
    })
    client.release(true)
    expect(notices).toContain('no worker is running: start one with npx pg-hubspot worker')
  })

  it('raises for what is not tracked', async () => {
    expect(await refusal(`call hubspot.wait('companies')`)).toMatchObject({ code: 'SH101' })
    expect(await refusal(`call hubspot.wait('deals', timeout => null)`)).toMatchObject({ code: 'SH104' })
  })
})

describe('connect', () => {
  it('keeps one candidate, tells nobody its secret, and disconnect forgets it', async () => {
    await db.query(`select hubspot.connect('pat-na1-first-token'), hubspot.connect('pat-na1-second-token')`)
    expect(await db.query('select secret from hubspot_private.credentials')).toEqual([{ secret: 'pat-na1-second-token' }])
    expect(await one(`select ok, message from hubspot.health() where name = 'account'`)).toEqual({
      ok: false, message: 'a token waits to be checked by a worker',
    })
    const job = await one(`select payload::text as payload from graphile_worker._private_jobs j
      join graphile_worker._private_tasks t on t.id = j.task_id where t.identifier = 'hubspot:connect' limit 1`)
    expect(job).toEqual({ payload: '{}' })
    await db.query(`select hubspot.disconnect()`)
    expect(await one(`select message, hint from hubspot.health() where name = 'account'`)).toMatchObject({ message: 'not connected' })
  })
})

describe('a role that may read', () => {
  it('sees every view and table, later ones too, and can change and reach nothing else', async () => {
    const admin = await freshDatabase('grants')
    await using _ = admin
    const role = `reader_${admin.name}`
    // Roles are the cluster's; only the superuser makes one here.
    const { default: pg } = await import('pg')
    const superuser = new pg.Client(admin.adminUrl)
    await superuser.connect()
    await superuser.query(`create role ${role} login; grant ${role} to current_user`)
    await admin.query(`select hubspot.grant_read($1)`, [role])
    await admin.query(`select hubspot.track('deals')`)
    await superuser.query(`set role ${role}`)
    const { rows } = await superuser.query<{ name: string }>(
      `select c.relname as name from pg_class c where c.relnamespace = 'hubspot'::regnamespace and c.relkind in ('r', 'v')`,
    )
    for (const { name } of rows) await superuser.query(`select * from hubspot.${name} limit 1`)
    expect(rows.length).toBeGreaterThan(10)
    expect((await superuser.query('select * from hubspot.health()')).rows.length).toBeGreaterThan(3)
    for (const text of [
      `select hubspot.track('contacts')`, `select hubspot.connect('pat-na1-whatever')`, `select * from hubspot_private.credentials`,
      `insert into hubspot.owners (id, is_archived) values (1, false)`, `select hubspot_private.clock()`, `call hubspot.wait()`,
    ]) {
      await expect(superuser.query(text), text).rejects.toMatchObject({ code: '42501' })
    }
    await superuser.query('reset role')
    await superuser.query(`drop owned by ${role}; drop role ${role}`)
    await superuser.end()
  })
})
