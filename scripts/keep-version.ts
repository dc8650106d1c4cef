// Keeps the SQL of a version that databases were installed by, so that tests can upgrade from it:
//   node scripts/keep-version.ts COMMIT     writes test/versions/COMMIT.json.gz
// Its sql/code whole; of sql/schema the hashes, since those files are still here and must be what they were.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const root = join(import.meta.dirname, '..')
const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 })
const commit = git('rev-parse', '--short=7', process.argv[2] ?? 'HEAD').trim()

function filesOf(folder: string): [string, string][] {
  const paths = git('ls-tree', '-r', '--name-only', commit, folder).trim().split('\n')
  return paths.map((path) => [path.slice(folder.length + 1), git('show', `${commit}:${path}`)])
}

const kept = {
  commit,
  version: (JSON.parse(git('show', `${commit}:package.json`)) as { version: string }).version,
  schema: Object.fromEntries(filesOf('sql/schema').map(([name, text]) => [name, createHash('sha256').update(text).digest('hex')])),
  code: Object.fromEntries(filesOf('sql/code')),
}
const file = join(root, 'test/versions', `${commit}.json.gz`)
writeFileSync(file, gzipSync(JSON.stringify(kept), { level: 9 }))
console.log(`${file}: ${Object.keys(kept.code).length} files of code, on ${Object.keys(kept.schema).join(', ')}`)
