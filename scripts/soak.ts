// npm run soak                          1,000 seeds of the convergence test, reported in docs/soak.md
// SOAK_RUNS=5000 SOAK_FIRST=1001 …      others; CONVERGENCE_SEED=n npx vitest run test/convergence.test.ts repeats one
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'

const REPORT = new URL('../docs/soak.md', import.meta.url)
const RUNS = whole('SOAK_RUNS', 1_000)
const FIRST = whole('SOAK_FIRST', 1)
/** Seeds that one process runs: one that dies takes no more along. */
const CHUNK = Math.min(whole('SOAK_CHUNK', 250), Math.ceil(RUNS / 2))
/** A seed waits for its server half of the time. */
const SIDE_BY_SIDE = whole('SOAK_SIDE_BY_SIDE', Math.max(2, availableParallelism() / 2))

type Chunk = { first: number; runs: number }
/** `failed`: seeds; `lost`: seeds that never came to an end, because their process did. */
type Outcome = { passed: number; failed: number[]; lost: number[] }

const begun = new Date()
const commit = git('rev-parse', '--short=10', 'HEAD') + (git('status', '--porcelain', '--', 'src', 'sql', 'test') === '' ? '' : ' and changes')
const folder = mkdtempSync(join(tmpdir(), 'pg-hubspot-soak-'))
const waiting: Chunk[] = []
for (let first = FIRST; first < FIRST + RUNS; first += CHUNK) waiting.push({ first, runs: Math.min(CHUNK, FIRST + RUNS - first) })
const outcomes: Outcome[] = []
const chunks = waiting.length
await Promise.all(Array.from({ length: SIDE_BY_SIDE }, async () => {
  for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
    const outcome = await runChunk(chunk)
    outcomes.push(outcome)
    console.log(`seeds ${chunk.first} to ${chunk.first + chunk.runs - 1}: ${outcome.passed} passed, ${outcome.failed.length} failed, ${outcome.lost.length} lost`)
  }
}))
const failed = outcomes.flatMap((outcome) => outcome.failed).sort((a, b) => a - b)
const lost = outcomes.flatMap((outcome) => outcome.lost).sort((a, b) => a - b)
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
report()
// What a seed that failed did last is in the log of its chunk.
if (failed.length + lost.length > 0) console.log(`logs: ${folder}`)
else rmSync(folder, { recursive: true })
process.exit(failed.length + lost.length > 0 ? 1 : 0)

/** Runs seeds one after another in a process of their own. */
async function runChunk({ first, runs }: Chunk): Promise<Outcome> {
  const file = join(folder, `${first}.json`)
  const log = openSync(join(folder, `${first}.log`), 'w')
  const child = spawn('vitest', ['run', 'test/convergence.test.ts', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`], {
    env: { ...process.env, CONVERGENCE_RUNS: String(runs), CONVERGENCE_FIRST: String(first) },
    stdio: ['ignore', log, 'inherit'],
  })
  await once(child, 'exit')
  closeSync(log)
  const states = statesOf(file)
  const seeds = Array.from({ length: runs }, (_, i) => first + i)
  const of = (state: string | undefined) => seeds.filter((seed) => states.get(seed) === state)
  return { passed: of('passed').length, failed: of('failed'), lost: seeds.filter((seed) => !/^(passed|failed)$/.test(states.get(seed) ?? '')) }
}

/** How each seed ended, as far as the process came to say so. */
function statesOf(file: string): Map<number, string> {
  try {
    const { testResults } = JSON.parse(readFileSync(file, 'utf8')) as { testResults: { assertionResults: { title: string; status: string }[] }[] }
    return new Map(testResults.flatMap(({ assertionResults }) =>
      assertionResults.map(({ title, status }): [number, string] => [Number(/seed (\d+)$/.exec(title)?.[1]), status])))
  } catch {
    return new Map()
  }
}

/** Adds a line to the report, the latest first. */
function report(): void {
  const minutes = Math.round((Date.now() - begun.getTime()) / 60_000)
  const bad = [
    ...(failed.length > 0 ? [`failed: ${failed.join(', ')}`] : []),
    ...(lost.length > 0 ? [`lost: ${lost.length > 20 ? `${lost.length} from ${lost[0]} on` : lost.join(', ')}`] : []),
  ].join('; ') || '0'
  const line = `| ${begun.toISOString().slice(0, 16).replace('T', ' ')} | ${commit} | ${process.env['PG_VERSION'] ?? '18'} | ${FIRST} to ${FIRST + RUNS - 1} in ${chunks} chunks | ${passed} | ${bad} | ${minutes} min |`
  const text = readFileSync(REPORT, 'utf8')
  writeFileSync(REPORT, text.replace(/^(\| --- .*\n)/m, (rule) => `${rule}${line}\n`))
  console.log(line)
}

/** A whole number from the environment, 1 at least. */
function whole(name: string, otherwise: number): number {
  return Math.max(1, Math.floor(Number(process.env[name] ?? otherwise)) || otherwise)
}

function git(...words: string[]): string {
  return execFileSync('git', words, { encoding: 'utf8', cwd: new URL('..', import.meta.url) }).trim()
}
