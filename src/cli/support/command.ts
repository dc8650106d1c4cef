import { parseArgs } from 'node:util'
import { z } from 'zod'
import { type Misuse, SyncError } from '../../lib/errors.ts'
import type { Log, LogLevel } from '../../lib/log.ts'
import { parseDuration } from '../../lib/time.ts'
import type { Environment } from './environment.ts'
import { nearest } from './near.ts'

/** An option that is there or not. */
export type Flag = { kind: 'flag'; help: string; short?: string }
/** An option with a value, which its schema checks and reads. */
export type Value<T> = { kind: 'value'; value: string; schema: z.ZodType<T>; help: string; isMany?: boolean }
/** A command's options by name, without the dashes. */
export type Options = Record<string, Flag | Value<unknown>>
/** What the options come to. */
export type Parsed<O extends Options> = { [Name in keyof O]: O[Name] extends Value<infer T> ? T | undefined : boolean }

/** What every command gets beside its options. */
export type Call<O extends Options> = {
  options: Parsed<O>
  positionals: string[]
  /** Options that the command does not declare; only where `isOpen`. */
  others: Record<string, string>
  env: Environment
  /** Where `mayBeWrong`: what is wrong in the environment, and missing in `env` therefore. */
  wrong: Misuse[]
  log: Log
  /** Where `endsInOrder`: aborted by the first SIGINT or SIGTERM; a second one ends the process at once. */
  signal: AbortSignal
}

/** One command: what it is called, says of itself and does. */
export type Command<O extends Options = Options> = {
  name: string
  /** What follows the name in its usage line, before the options. */
  args?: string
  /** How many arguments beside options. */
  positionals?: { least: number; most: number }
  /** Takes options that it does not declare, with a value each. */
  isOpen?: boolean
  /** What it logs unless told otherwise; `info` by default. */
  logLevel?: LogLevel
  /** Runs whatever is wrong in the environment. */
  mayBeWrong?: boolean
  /** Heeds `signal`; else a signal ends it as it stands. */
  endsInOrder?: boolean
  summary: string
  /** The rest of its help. */
  about: string
  options: O
  /** Returns the exit code; 0 for nothing. */
  run(call: Call<O>): Promise<number | void>
}

/** Exit codes, as `pg-hubspot help` lists them. */
export const EXIT = { ok: 0, error: 1, waits: 2, usage: 64 } as const

/** The command line is wrong: exit code 64. */
export class Usage extends Error {
  readonly hint: string
  constructor(message: string, hint: string) {
    super(message)
    this.name = 'Usage'
    this.hint = hint
  }
}

/** Keeps a command's option types. */
export function command<O extends Options>(definition: Command<O>): Command {
  // The options it is called with are those that parse() read by its own definition.
  return definition
}

/** A flag, for `options`. */
export const flag = (help: string, short?: string): Flag => ({ kind: 'flag', help, ...(short !== undefined && { short }) })

/** An option with a value, for `options`. */
export const value = <T>(name: string, schema: z.ZodType<T>, help: string): Value<T> => ({ kind: 'value', value: name, schema, help })

/** An option that may be given many times; its schema reads the list. */
export const values = <T>(name: string, schema: z.ZodType<T>, help: string): Value<T> => ({ ...value(name, schema, help), isMany: true })

/** The value of an option that is a whole number. */
export const whole = (least: number, most: number) =>
  z.coerce.number('is not a number').int('is not a whole number').min(least, `is below ${least}`).max(most, `is above ${most}`)

/** The value of an option that is a duration, in milliseconds. */
export const duration = z.string().transform((text, context) => {
  try {
    return parseDuration(text)
  } catch (error) {
    context.addIssue(error instanceof SyncError ? `${error.message}. ${error.hint}` : String(error))
    return z.NEVER
  }
})

/** Reads a command's arguments. Throws Usage, with the near name of what is unknown. */
export function parse(
  { name, options, positionals: { least, most } = { least: 0, most: 0 }, isOpen = false, args: usage }: Command,
  args: string[],
  common: Options,
): { options: Record<string, unknown>; positionals: string[]; others: Record<string, string> } {
  const known: Options = { ...common, ...options }
  const hint = `See: pg-hubspot ${name} --help`
  const { tokens, positionals } = parseArgs({ args, options: nodeOptions(known), strict: false, allowPositionals: true, tokens: true })
  const given = new Map<string, string[]>()
  const others: Record<string, string> = {}
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'option') continue
    const option = Object.hasOwn(known, token.name) ? known[token.name] : undefined
    if (option === undefined && isOpen) {
      // parseArgs takes what it does not know for a flag; its value is the argument that follows.
      const next = tokens[index + 1]
      const text = token.value ?? (next?.kind === 'positional' ? next.value : undefined)
      if (text === undefined) throw new Usage(`${token.rawName} wants a value`, hint)
      if (token.value === undefined) positionals.splice(positionals.indexOf(text), 1)
      others[token.name] = text
      continue
    }
    if (option === undefined) {
      const near = nearest(token.name, Object.keys(known))
      throw new Usage(`unknown option ${token.rawName}`, near === undefined ? hint : `Did you mean --${near}? ${hint}`)
    }
    if (option.kind === 'flag' && token.value !== undefined) throw new Usage(`${token.rawName} takes no value`, hint)
    if (option.kind === 'value' && token.value === undefined) throw new Usage(`${token.rawName} wants ${option.value}`, hint)
    given.set(token.name, [...(given.get(token.name) ?? []), token.value ?? ''])
  }
  if (positionals.length < least) throw new Usage(`${usage} is missing`, hint)
  // What is too much is not repeated: it may be a secret in the wrong place.
  if (positionals.length > most) throw new Usage(`${name} takes ${most === 0 ? 'no arguments' : `${most} argument`}, ${positionals.length} were given`, hint)
  const read = Object.entries(known).map(([key, option]) => [key, optionOf(key, option, given.get(key), hint)])
  return { options: Object.fromEntries(read), positionals, others }
}

function optionOf(name: string, option: Options[string], texts: string[] | undefined, hint: string): unknown {
  if (option.kind === 'flag') return texts !== undefined
  if (texts === undefined) return undefined
  const result = option.schema.safeParse(option.isMany === true ? texts : texts.at(-1))
  if (result.success) return result.data
  throw new Usage(`--${name} ${result.error.issues.map((issue) => issue.message).join('; ')}`, hint)
}

function nodeOptions(options: Options) {
  return Object.fromEntries(
    Object.entries(options).map(([name, option]) => [
      name,
      option.kind === 'flag'
        ? { type: 'boolean' as const, ...(option.short !== undefined && { short: option.short }) }
        : { type: 'string' as const, multiple: true },
    ]),
  )
}
