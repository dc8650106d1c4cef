import { openDatabase } from '../../db/database.ts'
import type { Call, Options } from '../support/command.ts'
import { databaseUrl } from '../support/environment.ts'
import { type Check, failed, looked } from './check.ts'
import { examineDatabase, examineHealth } from './database.ts'
import { examineHubSpot } from './hubspot.ts'

/** Looks at everything, as far as it can. */
export async function examine({ env, wrong, log, signal }: Pick<Call<Options>, 'env' | 'wrong' | 'log' | 'signal'>): Promise<Check[]> {
  const checks = wrong.map((error) => failed('environment', error))
  let url: string
  try {
    url = databaseUrl(env)
  } catch (error) {
    // Set to something that is no URL, it was told already.
    return checks.some(({ message }) => message.startsWith('DATABASE_URL')) ? checks : [...checks, failed('database', error)]
  }
  await using db = openDatabase(url, { max: 2, applicationName: 'pg-hubspot doctor' })
  const { checks: found, isThere, isOurs } = await examineDatabase(db, url)
  checks.push(...found)
  // Its budgets and its token are in the database; and with a wrong address the token would go who knows where.
  if (isOurs && wrong.length === 0) checks.push(...(await looked('hubspot', () => examineHubSpot(db, env.hubspot, log, signal))))
  if (isThere) {
    // What was looked at here, HubSpot having been asked just now, is not told twice.
    const told = new Set(checks.map(({ name }) => name))
    checks.push(...(await looked('health', () => examineHealth(db))).filter(({ name }) => !told.has(name)))
  }
  return checks
}
