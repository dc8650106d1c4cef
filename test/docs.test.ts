import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createLog } from '../src/lib/log.ts'
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts'
import { type RunningWorker, startWorker } from '../src/worker.ts'
import { runCli, startCli } from './support/cli.ts'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'
import { makeProject, type Project } from './support/compile.ts'
import { type Block, blocksOf, commandsOf, ELSEWHERE, statementsOf } from './support/docs.ts'
import { query } from './support/global-setup.ts'

// Every page of docs/, whatever it is called, with every block of it: a page that is added is run as well. README.md has its own test.

vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })
const root = join(import.meta.dirname, '..')
/** Pages that have a test of their own, and why. */
const OF_THEIR_OWN: Record<string, string> = { 'live.md': 'live-docs.test.ts: it needs a gateway' }
/** Roles that pages speak of. */
const ROLES = ['analysts', 'operators', 'crm_team', 'dora']

const pages = await Promise.all(
  readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md') && !(file in OF_THEIR_OWN))
    .map(async (file) => ({ page: `docs/${file}`, blocks: await blocksOf(`docs/${file}`) })),
)

test('there are pages, and every block says what it is', () => {
  expect(pages.length).toBeGreaterThan(8)
  // Figures are printed as they came.
  const unknown = pages.flatMap(({ page, blocks }) =>
    blocks.filter(({ language }) => !['sql', 'sh', 'ts', 'json', 'text'].includes(language) && page !== 'docs/figures.md').map(({ language, text }) => `${page}: \`\`\`${language} ${text}`),
  )
  expect(unknown).toEqual([])
})

describe.each(pages.filter(({ blocks }) => blocks.some(({ language }) => ['sql', 'sh', 'ts', 'json'].includes(language))))('$page', ({ page, blocks }) => {
  const needsDatabase = blocks.some(({ language, text }) => language === 'sql' || (language === 'sh' && commandsOf(text).some((line) => !(line in ELSEWHERE))))
  let project: Project
  let place: Place | undefined
  beforeAll(async () => {
    project = await makeProject()
    if (needsDatabase) place = await makePlace()
  })
  afterAll(async () => {
    await place?.[Symbol.asyncDispose]()
    await project[Symbol.asyncDispose]()
  })

  test('every block runs, in order', async () => {
    const scripts: string[] = []
    for (const [at, block] of blocks.entries()) {
      if (block.language === 'sql') await runSql(place!, block)
      if (block.language === 'sh') await runShell(place, project, block)
      if (block.language === 'json') expect(() => JSON.parse(block.text) as unknown, block.text).not.toThrow()
      if (block.language !== 'ts') continue
      const file = `src/${page.replaceAll(/\W/g, '-')}-${at}.ts`
      await project.write(file, block.text.replaceAll("'…/", `'${root}/`))
      scripts.push(file)
    }
    if (scripts.length > 0) expect(project.compile(...scripts)).toBe('')
  })
})

/** A database with some objects loaded, a sandbox, a worker, and roles. */
type Place = AsyncDisposable & { db: FreshDatabase; sandbox: Sandbox; client: pg.Client; worker: RunningWorker }

async function makePlace(): Promise<Place> {
  const sandbox = await startSandbox({ objects: { contacts: 30, deals: 20, companies: 10, vehicle: 5 }, settings: { burst: 10_000, lag: 0 } })
  const db = await freshDatabase('docs')
  for (const role of ROLES) await query(db.adminUrl, `create role ${role}`)
  await db.query('select hubspot.connect($1)', [sandbox.token])
  const worker = await startWorker({ databaseUrl: db.url, hubspot: { baseUrl: sandbox.url }, log: createLog({ write: () => undefined }) })
  await db.query(`select hubspot.track('contacts'), hubspot.track('deals'), hubspot.track_associations('deals', 'contacts')`)
  await db.query(`call hubspot.wait(timeout => '60 seconds')`)
  const client = new pg.Client(db.url)
  await client.connect()
  return {
    db, sandbox, client, worker,
    async [Symbol.asyncDispose]() {
      await client.end()
      await worker.stop()
      await query(db.adminUrl, `drop owned by ${ROLES.join(', ')} cascade; drop role ${ROLES.join(', ')}`)
      await db[Symbol.asyncDispose]()
      await sandbox.close()
    },
  }
}

async function runSql({ client }: Place, { text }: Block): Promise<void> {
  for (const statement of statementsOf(text)) {
    await client.query(statement).catch((error: unknown) => expect.fail(`${statement}\n${String(error)}`))
  }
}

async function runShell(place: Place | undefined, { folder }: Project, { text }: Block): Promise<void> {
  for (const line of commandsOf(text).filter((one) => !(one in ELSEWHERE))) {
    const [, args = '', token] = /^npx pg-hubspot ([^<]*?)( < token\.txt)?$/.exec(line) ?? expect.fail(`what is ${line}? Put it into test/support/docs.ts, with who runs it.`)
    const { db, sandbox } = place!
    const options = { env: { DATABASE_URL: db.url, HUBSPOT_API_URL: sandbox.url }, cwd: folder }
    if (/^(worker|sandbox)\b(?!.*--once)/.test(args)) {
      // It goes on until it is stopped.
      await using running = startCli(args.split(' '), options)
      await running.said(/connected|portalId/)
    } else {
      expect(await runCli(args.split(' '), { ...options, ...(token !== undefined && { input: sandbox.token }) }), line).toMatchObject({ code: 0, stderr: '' })
    }
  }
}
