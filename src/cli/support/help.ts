import { LOG_LEVELS } from '../../lib/log.ts'
import { VERSION } from '../../lib/version.ts'
import type { Command, Options } from './command.ts'
import { VARIABLES } from './environment.ts'
import { columns } from './screen.ts'

/** The help of all commands. */
export function overview(commands: readonly Command[]): string {
  return `pg-hubspot ${VERSION}: HubSpot inside Postgres

Usage: pg-hubspot COMMAND [OPTIONS]

Commands:
${columns(commands.map(({ name, args, summary }) => [`  ${[name, args].filter(Boolean).join(' ')}`, summary]))}

Every command:
${optionLines(COMMON_HELP)}

Environment:
${columns(Object.entries(VARIABLES).map(([name, { help }]) => [`  ${name}`, help]))}

Exit codes:
${columns(EXIT_HELP.map(([code, text]) => [`  ${code}`, text]))}

pg-hubspot help COMMAND, or pg-hubspot COMMAND --help, says more.
`
}

/** The help of one command. */
export function helpOf({ name, args, summary, about, options, isOpen }: Command): string {
  const usage = ['pg-hubspot', name, args, '[OPTIONS]'].filter(Boolean).join(' ')
  const other = isOpen === true ? '\n  --<object> N' : ''
  return `${summary}

Usage: ${usage}

${about.trim()}

Options:
${optionLines({ ...options, ...COMMON_HELP })}${other}
`
}

const COMMON_HELP: Options = {
  'log-level': { kind: 'value', value: 'LEVEL', schema: undefined as never, help: `${LOG_LEVELS.join(', ')}; debug also shows where an error came from.` },
  help: { kind: 'flag', short: 'h', help: 'This help.' },
}

const EXIT_HELP: [string, string][] = [
  ['0', 'done'],
  ['1', 'an error; standard error says which and what to do'],
  ['2', 'done, but something is parked or waits for you'],
  ['64', 'the command line is wrong'],
  ['130, 143', 'ended by SIGINT or SIGTERM before it was done'],
]

function optionLines(options: Options): string {
  return columns(
    Object.entries(options).map(([name, option]) => {
      const short = option.kind === 'flag' && option.short !== undefined ? `-${option.short}, ` : ''
      return [`  ${short}--${name}${option.kind === 'value' ? ` ${option.value}` : ''}`, option.help]
    }),
  )
}
