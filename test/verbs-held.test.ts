import { expect, test } from 'vitest'
import { startGraph } from './support/associations.ts'
import { allowForeignTables } from './support/live.ts'

// A verb that needs a table for itself, while someone's transaction has read it: it gives up within seconds, and holds up nobody.

const HELD: readonly { verb: string; holds: string; relation: string; before?: string }[] = [
  { verb: `hubspot.track('contacts', '{firstname}', on_delete => 'mark')`, holds: 'select from hubspot.contacts', relation: 'hubspot.contacts' },
  { verb: `hubspot.rename_column('contacts', 'firstname', 'given')`, holds: 'select from hubspot.contacts', relation: 'hubspot.contacts' },
  { verb: `hubspot.rename_column('contacts', 'firstname', 'given')`, holds: 'explain select from hubspot_live.contacts', relation: 'hubspot_live.contacts' },
  { verb: `hubspot.disable_changes('contacts')`, holds: 'select from hubspot.contacts', relation: 'hubspot.contacts' },
  { verb: `hubspot.disable_changes('contacts')`, holds: 'select from hubspot.contacts_companies', relation: 'hubspot.contacts_companies' },
  { verb: `hubspot.enable_changes('contacts')`, before: `hubspot.disable_changes('contacts')`, holds: 'lock table hubspot.contacts in share update exclusive mode', relation: 'hubspot.contacts' },
  { verb: `hubspot.untrack('contacts', drop_table => true)`, holds: 'select from hubspot.contacts', relation: 'hubspot.contacts' },
  { verb: `hubspot.untrack_associations('contacts', 'companies', drop_table => true)`, holds: 'select from hubspot.contacts_companies', relation: 'hubspot.contacts_companies' },
  { verb: `hubspot.disable_live()`, holds: 'explain select from hubspot_live.contacts', relation: 'hubspot_live.contacts' },
]

test.for(HELD)('$verb, while $relation is held by: $holds', async ({ verb, before, holds, relation }) => {
  await using world = await startGraph({ contacts: 3, companies: 3 }, { pairs: [['contacts', 'companies']] })
  await allowForeignTables(world.db)
  await world.db.query("select hubspot.track('contacts', '{firstname}')")
  await world.drain()
  await world.db.query("select hubspot.enable_live('127.0.0.1', 5999, 'secret')")
  if (before !== undefined) await world.db.query(`select ${before}`)
  const [id = ''] = world.ids('contacts')
  const user = await world.db.pool.connect()
  try {
    await user.query(`begin; ${holds}`)
    let isOver = false
    const doing = world.db.query(`select ${verb}`).then(() => 'done', (error: unknown) => error).finally(() => (isOver = true))
    world.store.edit('contacts', id, { firstname: 'Ada' })
    await world.advance(11_000)
    let slowest = 0
    const timed = async (action: Promise<unknown>) => {
      const began = performance.now()
      await action
      slowest = Math.max(slowest, performance.now() - began)
    }
    const late = new Promise((resolve) => setTimeout(resolve, 8_000, 'it waits'))
    const reading = (async () => {
      while (!isOver && slowest < 8_000) {
        await timed(world.db.query('select count(*) from hubspot.contacts'))
        await timed(world.db.query('select count(*) from hubspot.contacts_companies'))
      }
    })()
    expect(await Promise.race([doing, late])).toMatchObject({ code: 'SH220', message: expect.stringContaining(`table ${relation} is held`) as string, hint: expect.stringContaining(`'${relation}'::regclass`) as string })
    await reading
    expect(slowest).toBeLessThan(1_500)
    // As before, and nothing of it is left behind.
    await world.pass(11_000)
    expect(await world.row('contacts', id)).toMatchObject({ firstname: 'Ada' })
  } finally {
    await user.query('rollback')
    user.release()
  }
  await world.db.query(`select ${verb}`)
})
