import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts'
import { deliver } from '../src/sync/deliver.ts'
import { type Running, runCli, startCli } from './support/cli.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { allFinal } from './support/feed.ts'
import { query } from './support/global-setup.ts'
import { blocksOf, commandsOf, ELSEWHERE, statementsOf } from './support/docs.ts'
import { cliReference, errorReference, settingReference, sqlReference } from './support/reference.ts'
import { startWorld } from './support/sync.ts'

vi.setConfig({ testTimeout: 90_000 })
const root = join(import.meta.dirname, '..')

describe('README.md, from its first block to its last', () => {
  let sandbox: Sandbox
  let database: FreshDatabase
  let worker: Running | undefined
  beforeAll(async () => {
    sandbox = await startSandbox({ objects: { contacts: 150, deals: 120, companies: 20, vehicle: 40 }, settings: { burst: 10_000, lag: 0 } })
    database = await freshDatabase('readme')
    await database.query(`do $$ begin create role reporting; exception when duplicate_object then null; end $$`)
  })
  afterAll(async () => {
    await worker?.[Symbol.asyncDispose]()
    await query(database.adminUrl, 'drop owned by reporting; drop role reporting')
    await database[Symbol.asyncDispose]()
    await sandbox.close()
  })

  test('every command and statement runs, in order', async () => {
    const env = { DATABASE_URL: database.url, HUBSPOT_API_URL: sandbox.url }
    const ran: string[] = []
    for (const { language, text } of await blocksOf('README.md')) {
      if (language === 'sql') {
        for (const statement of statementsOf(text)) {
          await database.query(statement).catch((error: unknown) => expect.fail(`${statement}\n${String(error)}`))
          ran.push(statement)
        }
      }
      if (language !== 'sh') continue
      for (const line of commandsOf(text).filter((one) => !(one in ELSEWHERE))) {
        const [, args = '', , file] = /^npx pg-hubspot ([^<]*?)( < (\S+))?$/.exec(line) ?? expect.fail(`what is ${line}?`)
        if (args === 'worker') {
          worker = startCli(['worker'], { env })
          await worker.said(/connected/)
        } else {
          const ended = await runCli(args.split(' '), { env, ...(file !== undefined && { input: sandbox.token }) })
          expect(ended, line).toMatchObject({ code: 0, stderr: '' })
        }
        ran.push(line)
      }
    }
    expect(ran.length).toBeGreaterThan(30)
    expect(await database.query('select count(*)::integer as deals from hubspot.deals')).toEqual([{ deals: 120 }])
    expect(await database.query(`select to_regclass('hubspot.vehicle') as vehicle`)).toEqual([{ vehicle: null }])
    // The trigger that it shows does its work.
    const [open] = await database.query<{ id: string }>(`select id from hubspot.deals where dealstage <> 'closedwon' limit 1`)
    sandbox.store.edit('deals', open!.id, { dealstage: 'closedwon' })
    await database.query('select hubspot.refresh($1, array[$2::bigint])', ['deals', open!.id])
    await expect.poll(() => database.query('select deal_id from won where deal_id = $1', [open!.id]), { timeout: 20_000 }).toHaveLength(1)
  })

  test('what it tells a process manager to start works here, and ends in order on SIGTERM', async () => {
    const [, line = ''] = /A process manager should start `([^`]+)`/.exec(await readFile(join(root, 'README.md'), 'utf8')) ?? []
    const [program = '', ...args] = line.split(' ')
    const child = spawn(program, args, { cwd: root, env: { ...process.env, DATABASE_URL: database.url, HUBSPOT_API_URL: sandbox.url }, stdio: ['ignore', 'ignore', 'pipe'] })
    const ended = once(child, 'close')
    let said = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text
        if (said.includes('worker started')) resolve()
      })
      child.once('error', reject)
      child.once('close', () => reject(new Error(said)))
    })
    child.kill('SIGTERM')
    expect(await ended, said).toEqual([0, null])
  })

  test('its links lead somewhere, and its types are those of columns', async () => {
    const text = await readFile(join(root, 'README.md'), 'utf8')
    for (const [, file = ''] of text.matchAll(/\]\(((?!http)[^)]+)\)/g)) expect(await readFile(join(root, file), 'utf8'), file).not.toBe('')
    const types = await database.query<{ column_type: string }>(`select distinct column_type from hubspot.properties where object = 'deals'`)
    for (const { column_type } of types) expect(text).toContain(`\`${column_type}\``)
  })
})

describe('docs/', () => {
  let database: FreshDatabase
  beforeAll(async () => {
    database = await freshDatabase('docs')
  })
  afterAll(() => database[Symbol.asyncDispose]())

  test('what is written from the product is up to date', async () => {
    await expect(await cliReference()).toMatchFileSnapshot('../docs/cli.md')
    await expect(await errorReference(database)).toMatchFileSnapshot('../docs/errors.md')
    await expect(await settingReference(database)).toMatchFileSnapshot('../docs/settings.md')
    await expect(await sqlReference(database)).toMatchFileSnapshot('../docs/sql.md')
  })

  test('statements of schedules.md run, and what does not fit is told as it shows', async () => {
    await database.query(`select hubspot.track('deals'), hubspot.track('contacts')`)
    const client = new pg.Client(database.url)
    await client.connect()
    const notices: string[] = []
    client.on('notice', ({ message }) => notices.push(message ?? ''))
    const blocks = await blocksOf('docs/schedules.md')
    const rows: unknown[][] = []
    for (const { language, text } of blocks) {
      expect(language).toBe('sql')
      for (const statement of statementsOf(text)) rows.push((await client.query<Record<string, unknown>>(statement)).rows)
    }
    await client.end()
    const shown = blocks.flatMap(({ text }) => [...text.matchAll(/^-- NOTICE: {2}(.*)$/gm)].map(([, notice]) => notice))
    const shape = (notice = '') => notice.replaceAll(/\d+/g, '0')
    expect(notices.map(shape)).toEqual(shown.map(shape))
    expect(rows.every((one) => one.length > 0)).toBe(true)
    expect(await database.query(`select from hubspot.forecast where limited_by is not null`)).toEqual([])
  })

  test('the example of docs/changes.md does what it says, and its statements run', async () => {
    await using world = await startWorld('docs_changes', { sandbox: { objects: { deals: 12 } } })
    await world.load('deals', ['dealname', 'dealstage'])
    const blocks = await blocksOf('docs/changes.md')
    const statements = blocks.filter(({ language }) => language === 'sql').flatMap(({ text }) => statementsOf(text))
    const isLater = (statement: string) => /off_change|^table/.test(statement)
    for (const statement of statements.filter((one) => !isLater(one))) await world.db.query(statement).catch((error: unknown) => expect.fail(`${statement}\n${String(error)}`))
    const [deal] = [...world.store.records('deals')].map(({ id }) => id)
    for (const dealstage of ['contractsent', 'closedwon']) {
      world.store.edit('deals', deal!, { dealstage })
      await world.db.query('select hubspot.refresh($1, array[$2::bigint])', ['deals', deal])
      await world.pass(3_000, 1_000)
    }
    await allFinal(world.db)
    const subscriptions = await world.db.query<{ id: string }>('select id from hubspot.change_subscriptions')
    expect(subscriptions).toHaveLength(2)
    for (const { id } of subscriptions) await deliver(world.deps, Number(id))
    expect(await world.db.query('select deal_id from contracts')).toEqual([{ deal_id: deal }])
    // The task runs as it is written there.
    const file = join(root, 'test', `docs-task-${process.pid}.ts`)
    await writeFile(file, blocks.find(({ language }) => language === 'ts')!.text)
    const child = spawn(process.execPath, [file], { env: { ...process.env, DATABASE_URL: world.db.url }, stdio: 'ignore' })
    try {
      await expect.poll(() => world.db.query('select deal_id, stage from letters'), { timeout: 30_000 }).toEqual([{ deal_id: deal, stage: 'closedwon' }])
    } finally {
      child.kill('SIGKILL')
      await rm(file)
    }
    for (const statement of statements.filter(isLater)) await world.db.query(statement)
    expect(await world.db.query('select task from hubspot.change_subscriptions')).toEqual([{ task: null }])
  })
})

test('statements are taken apart at semicolons outside of quotes and comments', () => {
  expect(statementsOf(`select 'a;b'; -- no; none\ndo $$ begin; end $$;\nselect 1 - 2`)).toEqual([`select 'a;b'`, 'do $$ begin; end $$', 'select 1 - 2'])
})
