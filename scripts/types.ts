// Writes src/db/types.ts from a database that was just installed; with --verify it only says whether that would change it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { startCluster } from '../src/db/cluster.ts'
import { migrate } from '../src/db/migrate.ts'

const root = join(import.meta.dirname, '..')
await using cluster = await startCluster({ settings: { fsync: 'off' } })
await migrate(cluster.url())
const { status } = spawnSync(
  join(root, 'node_modules/.bin/kysely-codegen'),
  [
    '--dialect=postgres',
    `--url=${cluster.url()}`,
    `--out-file=${join(root, 'src/db/types.ts')}`,
    // The public views; state is reached by functions alone.
    '--include-pattern=hubspot.*',
    '--default-schema=hubspot',
    // As src/db reads them: text, since JavaScript's Date loses microseconds and days.
    '--date-parser=string',
    '--type-mapping={"timestamptz":"string","interval":"string"}',
    ...process.argv.slice(2),
  ],
  { stdio: 'inherit' },
)
process.exitCode = status ?? 1
