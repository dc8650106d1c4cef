import { accountIsSure } from '../db/account-calls.ts'
import { type Check, checkCredentials, type Checked, sealSecrets } from './credentials.ts'

/** How often it is looked whether the token is still good. */
const LOOK_MS = 10_000

/** What to do about a copy of the database. */
export const COPIED =
  'To read on here beside the original: select hubspot.adopt(read_only => true); to take its place: select hubspot.adopt(read_only => false);'

/**
 * Checks the token in use at the start, and again whenever something is wrong with it or it is forgotten: then the
 * environment's may serve. From a second by doubling to five minutes while it stays so. Seals what was stored readable meanwhile.
 */
export async function keepChecking(deps: Check): Promise<void> {
  const { db, log, signal } = deps
  let told: Checked | undefined
  for (let wait = 1_000, isSure = false; !signal.aborted; ) {
    if (!isSure) {
      const checked = await checkCredentials(deps).catch((error: unknown) => {
        if (!signal.aborted) log.warn('the access token could not be checked', { error })
        return 'failed' as const
      })
      if (checked !== told) tell(deps, checked)
      told = checked
    } else {
      await sealSecrets(deps).catch((error: unknown) => log.debug('not sealed yet', { error }))
    }
    await deps.sleep(isSure || told === 'none' || told === 'copied' ? LOOK_MS : wait, signal).catch(() => undefined)
    if (signal.aborted) return
    // A database that is away says nothing of the token.
    isSure = await accountIsSure(db).catch(() => true)
    // A token that HubSpot takes here and refuses there must not be checked all the time.
    wait = isSure ? Math.max(wait / 2, 1_000) : Math.min(wait * 2, 300_000)
  }
}

function tell({ log }: Check, checked: Checked): void {
  if (checked === 'none') {
    log.warn('no HubSpot account is connected yet', { hint: "Run pg-hubspot connect, or select hubspot.connect(access_token => '…');" })
  }
  if (checked === 'copied') log.warn('this database is a copy of the one that was installed: nothing is done here', { hint: COPIED })
}
