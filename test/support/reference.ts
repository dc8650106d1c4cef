import { allCommands } from '../../src/cli/main.ts'
import { helpOf, overview } from '../../src/cli/support/help.ts'
import type { FreshDatabase } from './cluster.ts'

const generatedBy = (test: string) => `<!-- Written from the product itself: npx vitest run ${test} -u -->`
const GENERATED = generatedBy('test/readme.test.ts')

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
const row = (...cells: string[]) => `| ${cells.map(cell).join(' | ')} |`
const head = (...names: string[]) => `${row(...names)}\n${row(...names.map(() => '---'))}`

/** docs/cli.md: every command's help. */
export async function cliReference(): Promise<string> {
  const commands = await allCommands()
  const helps = commands.map((command) => `## ${command.name}\n\n\`\`\`text\n${helpOf(command)}\`\`\`\n`)
  return `# The command line\n\n${GENERATED}\n\n\`\`\`text\n${overview(commands).replace(/^pg-hubspot \S+:/, 'pg-hubspot:')}\`\`\`\n\n${helps.join('\n')}`
}

/** docs/errors.md: every error by code. */
export async function errorReference({ query }: FreshDatabase): Promise<string> {
  const errors = await query<{ code: string; name: string; message: string; hint: string }>('select code, name, message, hint from hubspot_private.errors order by code')
  const rows = errors.map(({ code, name, message, hint }) => row(code, name, fill(message), fill(hint)))
  return `# Errors

${GENERATED}

Errors of SQL functions and of the command line carry a code of five characters, a message, and a hint that says what to do. In SQL the code is the
SQLSTATE. What goes wrong in the background is a row in \`hubspot.problems\` with the same codes; it is resolved by itself when it heals.
SH0: set-up. SH1: what was asked for. SH2: HubSpot refused or failed. SH3: rate limits. SH9: our fault. Where … stands, the case decides.

${head('code', 'name', 'message', 'hint')}
${rows.join('\n')}
`
}

const fill = (text: string) => text.replaceAll(/%(\d\$)?[sI L]/g, (hole) => (hole.endsWith(' ') ? hole : '…')).replaceAll('……', '…')

/** docs/settings.md: settings, budgets and schedules. */
export async function settingReference({ query }: FreshDatabase): Promise<string> {
  const settings = await query<{ name: string; default_value: string; description: string }>('select name, default_value::text, description from hubspot.settings order by name')
  const streams = await query<{ stream: string; every: string }>(
    `select s.stream, hubspot_private.schedule_every('', s.stream)::text as every from unnest('{poll,settle,archive,associations,schema,resync}'::text[]) s (stream)`,
  )
  const budgets = await query<{ budget: string; max_requests: string; period: string }>('select budget, max_requests::text, period::text from hubspot.quota order by budget')
  return `# Settings

${GENERATED}

\`select hubspot.configure('max_columns', 500);\` sets one, null goes back to its default; \`table hubspot.settings\` shows them.

${head('setting', 'default', '')}
${settings.map((one) => row(`\`${one.name}\``, `\`${one.default_value}\``, one.description)).join('\n')}

\`select hubspot.schedule('deals', 'poll', every => '5 seconds');\` or \`cron => '0 3 * * sun', timezone => 'Europe/Berlin'\` sets when a stream of an
object runs; \`hubspot.unschedule('deals', 'poll')\` goes back; \`table hubspot.schedules\` shows them, and \`table hubspot.forecast\` what they
cost: [schedules.md](schedules.md).

${head('stream', 'every')}
${streams.map(({ stream, every }) => row(stream, every)).join('\n')}

\`select hubspot.set_quota('burst', 150);\` sets a budget; null goes back to what HubSpot's answers say. Before the first answer:

${head('budget', 'requests', 'in')}
${budgets.map(({ budget, max_requests, period }) => row(budget, max_requests, period)).join('\n')}
`
}

/** docs/rights.md: what roles may do with each relation and function; `roles` are those that were granted something. */
export async function rightsReference(
  { query }: FreshDatabase, { reader, writer, controller }: { reader: string; writer: string; controller: string }, mirror: readonly string[],
): Promise<string> {
  const cells = (each: (role: string) => string) => ['$1', '$2', '$3'].map((role, at) => `${each(role)} as r${at}`).join(', ')
  const relations = await query<{ name: string; r0: string; r1: string; r2: string }>(
    `select case when c.relname = any ($4) then '(each table of the mirror)' else c.relname end as name, ${cells((role) => `(
         select coalesce(string_agg(lower(p.name), ', ' order by p.n), '')
         from unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) with ordinality p (name, n)
         where has_table_privilege(${role}, c.oid, p.name))`)}
     from pg_class c where c.relnamespace = 'hubspot'::regnamespace and c.relkind in ('r', 'p', 'v', 'f') and not c.relispartition
     group by 1, 2, 3, 4 order by 1`,
    [reader, writer, controller, mirror],
  )
  const functions = await query<{ name: string; r0: boolean; r1: boolean; r2: boolean }>(
    `select format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) as name, ${cells((role) => `has_function_privilege(${role}, p.oid, 'execute')`)}
     from pg_proc p where p.pronamespace = 'hubspot'::regnamespace order by p.proname, pg_get_function_identity_arguments(p.oid) collate "C"`,
    [reader, writer, controller],
  )
  const runs = (is: boolean) => (is ? 'runs' : '')
  return `# Who may do what

${generatedBy('test/rights.test.ts')}

What a role may do with each relation and function of schema \`hubspot\`, by what it was granted; a role that was granted nothing may do nothing,
the owner, who installed it, everything. The mirror's tables are read-only, to a writer too. See [roles.md](roles.md).

${head('relation', 'grant_read', 'grant_write', 'grant_control')}
${relations.map(({ name, r0, r1, r2 }) => row(name, r0, r1, r2)).join('\n')}

${head('function', 'grant_read', 'grant_write', 'grant_control')}
${functions.map(({ name, r0, r1, r2 }) => row(`\`${name}\``, runs(r0), runs(r1), runs(r2))).join('\n')}
`
}

/** docs/sql.md: every public function and view, by its comment in the database. */
export async function sqlReference({ query }: FreshDatabase): Promise<string> {
  const functions = await query<{ call: string; result: string; about: string }>(
    `select format('%s(%s)', p.proname, pg_get_function_arguments(p.oid)) as call,
       case p.prokind when 'p' then 'call' else pg_get_function_result(p.oid) end as result, obj_description(p.oid, 'pg_proc') as about
     from pg_proc p where p.pronamespace = 'hubspot'::regnamespace order by p.proname, p.pronargs, pg_get_function_identity_arguments(p.oid) collate "C"`,
  )
  const relations = await query<{ name: string; columns: string; about: string }>(
    `select c.relname as name, obj_description(c.oid, 'pg_class') as about,
       (select string_agg(format('%s %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
     from pg_class c where c.relnamespace = 'hubspot'::regnamespace and c.relkind in ('r', 'p', 'v') order by c.relname`,
  )
  return `# Functions and views

${GENERATED}

All in schema \`hubspot\`. Objects are text: a standard object's name, a custom object's name, its fully qualified name or its type id.

## Functions

${functions.map(({ call, result, about }) => `**\`${call}\`** → ${result}\n\n${about}\n`).join('\n')}
## Views and tables

${relations.map(({ name, columns, about }) => `**\`${name}\`**: ${about}\n\n${columns}\n`).join('\n')}`
}
