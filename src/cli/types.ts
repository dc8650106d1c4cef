import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { openDatabase } from '../db/database.ts'
import { Misuse } from '../lib/errors.ts'
import { printableLines } from '../lib/printable.ts'
import { command, EXIT, flag, Usage, value } from './support/command.ts'
import { databaseUrl } from './support/environment.ts'
import { checkInstalled } from './support/installed.ts'

/** `pg-hubspot types`. */
export const types = command({
  name: 'types',
  summary: 'Writes TypeScript for your mirror: row types, and zod schemas.',
  about: `
An interface for each table and view of schema hubspot, with HubSpot's labels and descriptions, DB for kysely, and a zod schema for
each, as node-postgres returns rows unless told otherwise: ids and numbers as text, times as Date. Enumerations are unions of their
options, and of any other text: options change, and records keep values that are no option any more. A role that was given
hubspot.grant_read() may run it. The same tables give the same file.

--verify writes nothing and returns 1 where the file is not what would be written, and shows the lines: for your CI.`,
  options: {
    out: value('FILE', z.string().min(1, 'is empty'), 'Where to write; standard output by default.'),
    verify: flag('Write nothing; return 1 where FILE is not up to date.'),
    dates: value('KIND', z.enum(['date', 'string'], 'date or string'), 'string where you have node-postgres return times as text; date by default.'),
    closed: flag('Enumerations are their options alone; the schemas then refuse what is none.'),
    'no-zod': flag('Leave the schemas out: the file imports nothing.'),
    json: flag('Print what was done as JSON: file, relations, changed. With --out.'),
  },
  async run({ options: { out, verify, dates = 'date', closed, 'no-zod': noZod, json }, env }) {
    if (out === undefined && (verify || json)) throw new Usage(`--${verify ? 'verify' : 'json'} wants --out`, 'As in: pg-hubspot types --out src/hubspot.ts --verify')
    await using db = openDatabase(databaseUrl(env), { max: 2, applicationName: 'pg-hubspot types' })
    await checkInstalled(db)
    const { generateTypes } = await import('../types/generate.ts')
    const { text, relations } = await generateTypes(db, { dates, isClosed: closed, hasZod: !noZod })
    if (out === undefined) {
      process.stdout.write(process.stdout.isTTY ? printableLines(text) : text)
      return EXIT.ok
    }
    const before = await read(out)
    const changed = before !== text
    if (changed && !verify) await write(out, text)
    if (json) console.log(JSON.stringify({ file: out, relations, changed }))
    if (changed && verify) {
      process.stderr.write(printableLines(differences(before ?? '', text)))
      throw new Misuse('SH122', before === undefined ? `${out} is not there` : `${out} is not what the database says`, {
        hint: `Run: pg-hubspot types --out ${out}`,
      })
    }
    if (!json) console.log(`${out}: ${relations} tables and views${changed ? '' : ', unchanged'}`)
    return EXIT.ok
  },
})

/** The file, its lines ended as we end them; undefined where there is none. */
async function read(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).replaceAll('\r\n', '\n')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(file, 'read', error)
  }
}

async function write(file: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, text)
  } catch (error) {
    throw unusable(file, 'written', error)
  }
}

const unusable = (file: string, what: string, cause: unknown) =>
  new Misuse('SH104', `${file} cannot be ${what}: ${(cause as Error).message}`, { hint: 'Name another file with --out, or change its permissions.', cause })

/** As many lines as one looks at. */
const MOST_LINES = 20

/** Lines that only one of the two has, in order: enough of a hint, since the cure is to write it anew. */
function differences(before: string, after: string): string {
  const [old, now] = [before, after].map((text) => text.split('\n'))
  const [wasThere, isThere] = [new Set(old), new Set(now)]
  const lines = [...(old ?? []).filter((line) => !isThere.has(line)).map((line) => `- ${line}`), ...(now ?? []).filter((line) => !wasThere.has(line)).map((line) => `+ ${line}`)]
  const rest = lines.length - MOST_LINES
  return [...lines.slice(0, MOST_LINES), ...(rest > 0 ? [`  and ${rest} more lines`] : []), ''].join('\n')
}
