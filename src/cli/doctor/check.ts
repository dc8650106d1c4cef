import { explain } from '../support/failure.ts'

/** One thing that was looked at: ok, or what to do. */
export type Check = {
  name: string
  ok: boolean
  message: string
  hint: string | null
  /** Where not ok: it is good to know, and breaks nothing. */
  isAdvice?: boolean
  /** Of the scopes: which objects the token may read. */
  objects?: Record<string, boolean>
}

/** It is as it should be. */
export const fine = (name: string, message: string): Check => ({ name, ok: true, message, hint: null })

/** It works, and might be better. */
export const advice = (name: string, message: string, hint: string): Check => ({ name, ok: false, message, hint, isAdvice: true })

/** What an error says of a check, and what to do. */
export function failed(name: string, error: unknown, databaseUrl?: string): Check {
  const { message, hint } = explain(error, databaseUrl)
  return { name, ok: false, message, hint: hint ?? 'Read the message; the log of the database may say more.' }
}

/** Checks, or that one of this name could not be made: one that fails keeps no other from being made. */
export async function looked(name: string, look: () => Promise<Check | Check[]>, databaseUrl?: string): Promise<Check[]> {
  try {
    return [await look()].flat()
  } catch (error) {
    return [failed(name, error, databaseUrl)]
  }
}

/** Whether nothing is wrong; what only might be better counts for nothing. */
export const isWell = (checks: readonly Check[]): boolean => checks.every(({ ok, isAdvice }) => ok || isAdvice === true)
