import { constants } from 'node:os'
import { z } from 'zod'
import { type Call, type Command, EXIT, flag, type Options, parse, Usage, value } from './support/command.ts'
import { lookAtEnvironment } from './support/environment.ts'
import { helpOf, overview } from './support/help.ts'
import { nearest } from './support/near.ts'
import { createLog, LOG_LEVELS } from '../lib/log.ts'
import { printableLines } from '../lib/printable.ts'
import { VERSION } from '../lib/version.ts'

// Each is loaded when it is called: all of them take half a second, most of it for what the others need.
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  install: async () => (await import('./setup.ts')).install,
  connect: async () => (await import('./connect.ts')).connect,
  worker: async () => (await import('./worker.ts')).worker,
  status: async () => (await import('./status.ts')).status,
  resync: async () => (await import('./resync.ts')).resync,
  verify: async () => (await import('./verify.ts')).verify,
  doctor: async () => (await import('./doctor.ts')).doctor,
  types: async () => (await import('./types.ts')).types,
  sandbox: async () => (await import('./sandbox.ts')).sandbox,
  demo: async () => (await import('./demo.ts')).demo,
  uninstall: async () => (await import('./setup.ts')).uninstall,
}

/** Every command, in the order of its help. */
export const allCommands = (): Promise<Command[]> => Promise.all(Object.values(commands).map((load) => load()))

const common = {
  'log-level': value('LEVEL', z.enum(LOG_LEVELS, `one of ${LOG_LEVELS.join(', ')}`), ''),
  help: flag('', 'h'),
} satisfies Options

/** Runs one command line and returns its exit code; what went wrong is said on standard error. */
export async function main([name, ...args]: string[]): Promise<number> {
  const isDebug = args.some((arg, at) => arg === '--log-level=debug' || (arg === 'debug' && args[at - 1] === '--log-level'))
  try {
    if (name === undefined) {
      process.stderr.write(overview(await allCommands()))
      return EXIT.usage
    }
    if (name === '--version' || name === '-V') return say(`${VERSION}\n`)
    if (name === 'help' || name === '--help' || name === '-h') {
      return say(args[0] === undefined ? overview(await allCommands()) : helpOf(await find(args[0])))
    }
    const command = await find(name)
    if (isHelp(args)) return say(helpOf(command))
    return await run(command, args)
  } catch (error) {
    const { explain, failureLines } = await import('./support/failure.ts')
    const failure = explain(error, process.env['DATABASE_URL'])
    process.stderr.write(failureLines(failure))
    if (isDebug && error instanceof Error) process.stderr.write(`${printableLines(error.stack ?? '')}\n`)
    return failure.exit
  }
}

async function run(command: Command, args: string[]): Promise<number> {
  const { options, ...rest } = parse(command, args, common)
  const level = options['log-level'] as (typeof LOG_LEVELS)[number] | undefined
  const log = createLog({ level: level ?? command.logLevel ?? 'info' })
  const ending = new AbortController()
  if (command.endsInOrder === true) listen(ending)
  const { environment, wrong } = lookAtEnvironment(process.env)
  if (wrong[0] !== undefined && command.mayBeWrong !== true) throw wrong[0]
  const call = { options, ...rest, env: environment, wrong, log, signal: ending.signal } as Call<Options>
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

async function find(name: string): Promise<Command> {
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load !== undefined) return await load()
  const near = nearest(name, ['help', ...Object.keys(commands)])
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
