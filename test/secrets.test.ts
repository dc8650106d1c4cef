import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { type House, openHouse } from './support/house.ts'
import { runCli } from './support/cli.ts'
import { app } from './support/oauth.ts'

// No secret in logs, errors, job payloads, views, or tables that anybody but the owner may read.

vi.setConfig({ testTimeout: 120_000 })

/** Every relation's rows as text, as a role sees them; what it may not read is left out. */
async function dump(client: pg.Client, schemas: string[]): Promise<Map<string, string>> {
  const { rows } = await client.query<{ name: string; is_readable: boolean }>(
    `select format('%I.%I', n.nspname, c.relname) as name,
       has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as is_readable
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1) and c.relkind in ('r', 'p', 'v', 'm') order by 1`, [schemas])
  const texts = new Map<string, string>()
  for (const { name, is_readable } of rows) {
    if (!is_readable) continue
    const { rows: all } = await client.query<{ text: string | null }>(`select string_agg(t::text, e'\\n') as text from ${name} t`)
    texts.set(name, all[0]?.text ?? '')
  }
  return texts
}

/** Everything that may go wrong with tokens goes wrong, in front of a worker that logs all it can. */
async function trouble(house: House, env: NodeJS.ProcessEnv): Promise<{ said: string; secrets: string[] }> {
  const { db, store, sandbox } = house
  store.configure({ accessTokenSeconds: 2 })
  store.addApp(app)
  const secrets = new Set([sandbox.token, app.clientSecret])
  const said: string[] = []
  const granted = store.installApp(app.clientId)
  secrets.add(granted.refreshToken)
  const noted = async () => {
    // As a spy on the line would: whatever was ever sent or stored.
    for (const { token } of store.calls()) if (token !== null) secrets.add(token)
    for (const { secret } of await db.query<{ secret: string }>('select secret from hubspot_private.credential_secrets()')) if (!secret.startsWith('sealed:')) secrets.add(secret)
  }
  await db.query(`select hubspot.track('contacts', '{firstname}'), hubspot.schedule('contacts', 'poll', every => '1 second')`)
  await using worker = await house.worker({ env, args: ['--log-level', 'debug'] })
  await house.loaded('contacts')
  const echo = { type: 'answer' as const, status: 400, body: JSON.stringify({ status: 'error', message: `what is ${sandbox.token}?`, category: 'VALIDATION_ERROR' }), headers: { 'Content-Type': 'application/json' } }
  store.addFault({ fault: echo, match: { kind: 'search', token: sandbox.token }, times: 3 })
  await house.until(`exists (select from hubspot.problems where message like '%redacted%') or (select count(*) > 3 from hubspot.runs where stream = 'poll')`)
  await db.query('select hubspot.connect(client_id => $1, client_secret => $2, refresh_token => $3)', [app.clientId, app.clientSecret, granted.refreshToken])
  await house.until(`exists (select from hubspot_private.oauth where renewed >= 3)`)
  await noted()
  // Answers that repeat what was sent, are torn, or are of another kind.
  const repeat = JSON.stringify({ status: 'BAD_THING', message: `client_secret=${app.clientSecret} refresh_token=${granted.refreshToken} is wrong` })
  for (const fault of [{ ...echo, body: repeat }, { ...echo, status: 500, body: repeat }, 'torn', 'short', { type: 'content type' as const, value: 'text/html' }, 'reset'] as const) {
    store.addFault({ fault, match: { kind: 'token' }, times: 1 })
  }
  store.endAccessTokens()
  await house.until(`exists (select from hubspot.problems where object is null and property = 'token')`)
  await noted()
  store.removeFaults()
  // From here on each renewal gives another refresh token.
  store.configure({ refreshRotation: 'strict' })
  await db.query('select hubspot.resume()')
  await house.until(`exists (select from hubspot_private.oauth where former_refresh_token is not null)`)
  await noted()
  store.uninstallApp(app.clientId)
  await db.query('select hubspot.resume()')
  await house.until(`exists (select from hubspot.problems where code = 'SH226')`)
  await db.query('select hubspot.connect($1)', ['pat-na1-0000-never-was-good'])
  secrets.add('pat-na1-0000-never-was-good')
  await house.until(`exists (select from hubspot.problems where property = 'new token' and code = 'SH201')`)
  await noted()
  for (const statement of [`select hubspot.connect('pat-na1-0000 with spaces')`, `select hubspot.connect('a', 'client-secret 2', 'x')`]) {
    await db.query(statement).catch((error: pg.DatabaseError) => said.push(`${error.message} ${error.hint} ${error.detail} ${error.where}`))
  }
  const cli = { DATABASE_URL: db.url, HUBSPOT_API_URL: sandbox.url, ...env }
  for (const [args, input] of [[['connect', '--log-level', 'debug'], sandbox.token], [['connect'], 'pat-na1-0000 with spaces'], [['status', '--json'], ''], [['connect', sandbox.token], '']] as const) {
    const ended = await runCli([...args], { env: cli, input })
    said.push(ended.stdout + ended.stderr)
  }
  await house.until(`exists (select from hubspot.health() where name = 'account' and ok)`)
  await noted()
  said.push(worker.log())
  secrets.add('pat-na1-0000 with spaces').add('client-secret 2')
  return { said: said.join('\n'), secrets: [...secrets] }
}

test.for([['with a key', true], ['without a key', false]] as const)('%s: after every kind of trouble no secret is anywhere but where it is kept', async ([, hasKey]) => {
  await using house = await openHouse('secrets', { objects: { contacts: 20 } })
  const key = randomBytes(32).toString('base64')
  const { said, secrets } = await trouble(house, hasKey ? { PG_HUBSPOT_KEY: key } : {})
  expect(secrets.length).toBeGreaterThan(6)
  if (hasKey) secrets.push(key)
  const found = (text: string) => secrets.filter((secret) => text.includes(secret) || text.includes(encodeURIComponent(secret)))
  expect(said.length).toBeGreaterThan(1_000)
  expect(found(said)).toEqual([])

  const reader = `reader_${randomBytes(4).toString('hex')}`
  const [owner, other] = [new pg.Client(house.db.url), new pg.Client(house.db.adminUrl)]
  await Promise.all([owner.connect(), other.connect()])
  try {
    await other.query(`create role ${reader}`)
    await house.db.query('select hubspot.grant_read($1)', [reader])
    await other.query(`set role ${reader}`)
    const readable = await dump(other, ['hubspot', 'hubspot_private', 'graphile_worker'])
    expect(readable.size).toBeGreaterThan(15)
    for (const [name, text] of readable) expect(found(text), name).toEqual([])
    // All there is, jobs too. Without a key the owner may read the two tables that keep them; with one, nobody can.
    const all = await dump(owner, ['hubspot', 'hubspot_private', 'graphile_worker'])
    expect(all.get('graphile_worker._private_jobs')).toBeDefined()
    const kept = ['hubspot_private.credentials', 'hubspot_private.oauth']
    for (const [name, text] of all) if (hasKey || !kept.includes(name)) expect(found(text), name).toEqual([])
    if (!hasKey) expect(found(all.get('hubspot_private.credentials')!)).not.toEqual([])
  } finally {
    await other.query(`reset role; drop owned by ${reader}; drop role ${reader}`)
    await Promise.all([owner.end(), other.end()])
  }
})
