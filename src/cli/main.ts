import { constants } from 'node:os'
import { z } from 'zod'
import { type Call, type Command, EXIT, flag, type Options, parse, Usage, value } from './support/command.ts'
import { connect } from './connect.ts'
import { demo } from './demo.ts'
import { readEnvironment } from './support/environment.ts'
import { explain, failureLines } from './support/failure.ts'
import { helpOf, overview } from './support/help.ts'
import { nearest } from './support/near.ts'
import { resync } from './resync.ts'
import { sandbox } from './sandbox.ts'
import { install, uninstall } from './setup.ts'
import { status } from './status.ts'
import { worker } from './worker.ts'
import { createLog, LOG_LEVELS } from '../lib/log.ts'
import { VERSION } from '../lib/version.ts'

const commands: readonly Command[] = [install, connect, worker, status, resync, sandbox, demo, uninstall]

const common = {
  'log-level': value('LEVEL', z.enum(LOG_LEVELS, `one of ${LOG_LEVELS.join(', ')}`), ''),
  help: flag('', 'h'),
} satisfies Options

/** Runs one command line and returns its exit code; what went wrong is said on standard error. */
export async function main([name, ...args]: string[]): Promise<number> {
  const isDebug = args.some((arg, at) => arg === '--log-level=debug' || (arg === 'debug' && args[at - 1] === '--log-level'))
  try {
    if (name === undefined) {
      process.stderr.write(overview(commands))
      return EXIT.usage
    }
    if (name === '--version' || name === '-V') return say(`${VERSION}\n`)
    if (name === 'help' || name === '--help' || name === '-h') {
      return say(args[0] === undefined ? overview(commands) : helpOf(find(args[0])))
    }
    const command = find(name)
    if (isHelp(args)) return say(helpOf(command))
    return await run(command, args)
  } catch (error) {
    const failure = explain(error, process.env['DATABASE_URL'])
    process.stderr.write(failureLines(failure))
    if (isDebug && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    return failure.exit
  }
}

async function run(command: Command, args: string[]): Promise<number> {
  const { options, ...rest } = parse(command, args, common)
  const level = options['log-level'] as (typeof LOG_LEVELS)[number] | undefined
  const log = createLog({ level: level ?? command.logLevel ?? 'info' })
  const ending = new AbortController()
  if (command.endsInOrder === true) listen(ending)
  const call = { options, ...rest, env: readEnvironment(process.env), log, signal: ending.signal } as Call<Options>
  try {
    return (await command.run(call)) ?? EXIT.ok
  } catch (error) {
    if (ending.signal.aborted && error === ending.signal.reason) return 128 + constants.signals[ending.signal.reason.message as 'SIGINT']
    throw error
  }
}

/** The first signal asks for an end in order; the second ends at once, as does the first where there is no order to keep. */
function listen(ending: AbortController): void {
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (ending.signal.aborted) process.exit(128 + constants.signals[name])
      ending.abort(new Error(name))
    })
  }
}

function find(name: string): Command {
  const found = commands.find((command) => command.name === name)
  if (found !== undefined) return found
  const near = nearest(name, ['help', ...commands.map((command) => command.name)])
  throw new Usage(
    name.startsWith('-') ? `${name} comes after a command` : `unknown command ${name}`,
    near === undefined ? 'See: pg-hubspot help' : `Did you mean: pg-hubspot ${near}`,
  )
}

function isHelp(args: string[]): boolean {
  const end = args.indexOf('--')
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h')
}

function say(text: string): number {
  process.stdout.write(text)
  return EXIT.ok
}
