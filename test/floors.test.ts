import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

// One import each that has to be refused, in a tree of its own with the project's lint settings.
const refused: Record<string, string[]> = {
  'src/lib/a.ts': ['../db/a.ts', '../worker.ts', 'pg', 'undici'],
  'src/db/a.ts': ['../hubspot/a.ts', '../sandbox/a.ts', '../sync/a.ts', '../cli.ts', 'undici', '@hubspot/api-client'],
  'src/hubspot/a.ts': ['../db/a.ts', '../sandbox/a.ts', '../sync/a.ts', '../tasks.ts', 'pg', 'kysely'],
  'src/sandbox/a.ts': ['../db/a.ts', '../hubspot/a.ts', 'pg', '@hubspot/api-client/lib/a.js'],
  'src/sandbox/api/b.ts': ['../../db/a.ts', '../../hubspot/a.ts', '../../demo.ts'],
  'src/sync/a.ts': ['../sandbox/a.ts', '../web/a.ts', '../tasks.ts', 'kysely', 'undici'],
  'src/types/a.ts': ['../hubspot/a.ts', '../sync/a.ts', '../cli/a.ts', 'pg', 'kysely', 'undici'],
  'src/gateway/a.ts': ['../worker.ts', '../sandbox/a.ts', 'pg'],
  'src/web/a.ts': ['../cli.ts', 'undici'],
  'src/tasks.ts': ['./worker.ts', './sandbox/a.ts', 'pg'],
  'src/worker.ts': ['pg', 'kysely', 'undici', '../test/a.ts'],
}

const allowed: Record<string, string[]> = {
  'src/lib/a.ts': ['./b.ts', 'zod'],
  'src/db/a.ts': ['../lib/a.ts', 'pg', 'kysely'],
  'src/hubspot/a.ts': ['../lib/a.ts', 'undici', '@hubspot/api-client'],
  'src/sandbox/api/b.ts': ['../../lib/a.ts', '../index.ts'],
  'src/sync/a.ts': ['../lib/a.ts', '../db/a.ts', '../hubspot/a.ts'],
  'src/types/a.ts': ['../lib/a.ts', '../db/a.ts', 'kysely-codegen/dist/a.js'],
  'src/tasks.ts': ['./sync/a.ts', './db/a.ts', './lib/a.ts'],
  'src/worker.ts': ['./tasks.ts', './db/a.ts', 'graphile-worker'],
  'test/a.test.ts': ['../src/db/a.ts', 'pg', '@hubspot/api-client'],
}

const root = join(import.meta.dirname, '..')
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'floors-'))
  await copyFile(join(root, '.oxlintrc.json'), join(folder, '.oxlintrc.json'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('an import from a higher floor, or of a package that belongs to another folder, is refused', async () => {
  expect(await lint(importing(refused), 'eslint(no-restricted-imports)')).toEqual(
    Object.entries(refused).flatMap(([file, list]) => list.map((_, at) => `${file}:${at + 1}`)).toSorted(),
  )
})

test('imports down the floors are accepted', async () => {
  expect(await lint(importing(allowed), 'eslint(no-restricted-imports)')).toEqual([])
})

test('circles and promises that nobody waits for are refused', async () => {
  const tree = {
    'src/lib/a.ts': `import { b } from './b.ts'\nexport const a = () => b\n`,
    'src/lib/b.ts': `import { a } from './a.ts'\nexport const b = () => a\n`,
    'src/lib/c.ts': `const c = async () => 1\nc()\n`,
  }
  expect(await lint(tree, 'import(no-cycle)')).toEqual(['src/lib/a.ts:1', 'src/lib/b.ts:1'])
  expect(await lint(tree, 'typescript(no-floating-promises)')).toEqual(['src/lib/c.ts:2'])
})

/** Files with these imports, one a line. */
function importing(tree: Record<string, string[]>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tree).map(([file, imports]) => [file, imports.map((from) => `import '${from}'\n`).join('')]),
  )
}

/** Where one rule refuses something in these files, as `file:line`. */
async function lint(tree: Record<string, string>, rule: string): Promise<string[]> {
  await rm(join(folder, 'src'), { recursive: true, force: true })
  for (const [file, text] of Object.entries(tree)) {
    await mkdir(dirname(join(folder, file)), { recursive: true })
    await writeFile(join(folder, file), text)
  }
  const { stdout } = spawnSync(join(root, 'node_modules/.bin/oxlint'), ['--format=json'], { cwd: folder, encoding: 'utf8' })
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { code: string; filename: string; labels: { span: { line: number } }[] }[]
  }
  return diagnostics
    .filter(({ code }) => code === rule)
    .map(({ filename, labels }) => `${filename}:${labels[0]?.span.line}`)
    .toSorted()
}
