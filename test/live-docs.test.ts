import { expect, test } from 'vitest'
import { blocksOf, statementsOf } from './support/docs.ts'
import { query } from './support/global-setup.ts'
import { startLiveWorld } from './support/live.ts'

test('every statement of docs/live.md runs, in order', async () => {
  await using world = await startLiveWorld('live_docs', { sandbox: { objects: { deals: 5 } } })
  await world.db.query('select hubspot.disable_live()')
  world.store.create('deals', [{ id: 42, properties: { dealname: 'The answer', amount: '42' } }])
  const { password } = new URL(world.db.url)
  const answers: unknown[] = []
  await query(world.db.adminUrl, 'drop role if exists reporting')
  const blocks = (await blocksOf('docs/live.md')).filter(({ language }) => language === 'sql')
  for (const written of blocks.flatMap(({ text }) => statementsOf(text))) {
    const statement = written.replace('port => 5433', `port => ${world.gateway.at.port}`).replace("'hubspot_test'", `'${password}'`)
    // Nothing runs here by itself: this is what waiting is for.
    if (statement.startsWith('call hubspot.wait')) await world.drain()
    else answers.push(await world.ask(statement).catch((error: unknown) => expect.fail(`${statement}\n${String(error)}`)))
  }
  expect(answers[2]).toEqual([{ dealname: 'The answer', amount: '42' }])
  const reporting = await world.as('reporting')
  expect((await reporting.query('select count(*)::integer as n from hubspot_live.deals')).rows).toEqual([{ n: 6 }])
  await reporting.end()
  await query(world.db.adminUrl, 'drop owned by reporting; drop role reporting')
})
