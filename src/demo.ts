import { explore } from './demo/explore.ts'
import { play } from './demo/play.ts'
import { hasProduct, openStage, type StageOptions } from './demo/stage.ts'
import { Misuse } from './lib/errors.ts'

/** Runs the demo against the sandbox, or against HubSpot where the environment has a token; returns the exit code. */
export async function runDemo(options: StageOptions): Promise<number> {
  const { env, signal } = options
  if (env.hubspot.token === undefined && env.hubspot.baseUrl !== undefined) {
    throw new Misuse('SH104', 'HUBSPOT_API_URL is set, but HUBSPOT_ACCESS_TOKEN is not', {
      hint: 'Set both to read that account; unset both to play with a sandbox that the demo starts.',
    })
  }
  const isReal = env.hubspot.token !== undefined
  if (!isReal && env.DATABASE_URL !== undefined && (await hasProduct(env.DATABASE_URL))) {
    throw new Misuse('SH104', 'pg-hubspot is installed in the database of DATABASE_URL, and the demo would mix its records with yours', {
      hint: 'Unset DATABASE_URL, name another database, or remove what is there: pg-hubspot uninstall',
    })
  }
  await using stage = await openStage(options, isReal)
  try {
    return await (isReal ? explore(stage) : play(stage))
  } catch (error) {
    // Ctrl-C is how the demo ends.
    if (signal.aborted && error === signal.reason && !options.isOnce) return 0
    throw error
  }
}
