import { type Check, isWell } from './doctor/check.ts'
import { examine } from './doctor/examine.ts'
import { printableAll } from '../lib/printable.ts'
import { command, EXIT, flag } from './support/command.ts'
import { paint } from './support/screen.ts'

/** `pg-hubspot doctor`. */
export const doctor = command({
  name: 'doctor',
  summary: 'Looks at everything that has to be right: each line ok, or what to do.',
  about: `
The environment, the connection, PostgreSQL, the role's privileges, the installation, whether connections are sessions, postgres_fdw; what
hubspot.health() knows: account, worker, objects, budgets; and HubSpot itself: whether it takes the token, which objects the token may
read, whether the clocks agree. It changes nothing, and asks HubSpot six times at most, within the budgets. Run it where the worker
runs, with the worker's environment.

Returns 0 when all is well, 1 when something is wrong. What only might be better is marked ! and counts for nothing.`,
  options: { json: flag('Print the checks as JSON: name, ok, message, hint.') },
  mayBeWrong: true,
  endsInOrder: true,
  async run({ options: { json }, ...call }) {
    const checks = await examine(call)
    if (json) console.log(JSON.stringify(checks.map(({ isAdvice = false, ...check }) => ({ ...check, is_advice: isAdvice })), null, 2))
    else console.log(checks.map(line).join('\n'))
    return isWell(checks) ? EXIT.ok : EXIT.error
  },
})

function line(check: Check): string {
  const { name, ok, message, hint, isAdvice } = printableAll(check)
  const mark = ok ? paint('green', '✓') : isAdvice === true ? paint('yellow', '!') : paint('red', '✗')
  return `${mark} ${name.padEnd(12)} ${message}${hint === null || hint === '' ? '' : `\n${' '.repeat(15)}${hint}`}`
}
