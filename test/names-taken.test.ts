import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FreshDatabase, freshDatabase } from './support/cluster.ts'

// What others have in schema hubspot under a name that the mirror wants is neither altered nor dropped.
let db: FreshDatabase

beforeAll(async () => {
  db = await freshDatabase('taken')
})
afterAll(async () => {
  await db[Symbol.asyncDispose]()
})

const refusal = (text: string) => db.query(text).then(() => `it was accepted: ${text}`, (error: unknown) => error as { code: string; message: string; hint: string })

describe('tracking', () => {
  it.each([
    ['table', 'hubspot.listings', 'create table hubspot.listings (a integer)', `hubspot.track('listings')`],
    ['view', 'hubspot.carts', 'create view hubspot.carts as select 1 as id', `hubspot.track('0-142')`],
    ['materialized view', 'hubspot.fees', 'create materialized view hubspot.fees as select 1 as id', `hubspot.track('fees')`],
  ])('takes no name from a %s of someone else', async (kind, name, statement, verb) => {
    await db.query(statement)
    expect(await refusal(`select ${verb}`)).toMatchObject({
      code: 'SH020', message: `${kind} ${name} is there already, and is not pg-hubspot's`,
      hint: expect.stringContaining(`alter ${kind} ${name} set schema public;`) as string,
    })
    await db.query(`alter ${kind} ${name} set schema public; select ${verb}`)
    await db.query(`select hubspot.untrack('${name.slice(8)}')`)
  })

  it('takes up a table that untrack kept, and leaves alone what someone put in its place', async () => {
    const made = `hubspot_private.properties_apply('taxes', '{"results": [{"name": "hs_label", "type": "string"}]}'), hubspot_private.selection_apply('taxes')`
    await db.query(`select hubspot.track('taxes'); select ${made}; select hubspot.track_associations('taxes', 'quotes')`)
    await db.query(`select hubspot.untrack('taxes'); select hubspot.track('taxes'); select hubspot.track_associations('taxes', 'quotes')`)
    await db.query(`select hubspot.untrack('taxes'); drop table hubspot.taxes, hubspot.taxes_quotes`)
    await db.query(`create table hubspot.taxes as select 1 as mine; create view hubspot.taxes_quotes as select 1 as mine`)
    expect(await refusal(`select hubspot.track('taxes')`)).toMatchObject({ code: 'SH020' })
    await db.query(`select hubspot.untrack('taxes', drop_table => true)`)
    expect(await db.query('select * from hubspot.taxes, hubspot.taxes_quotes q')).toEqual([{ mine: 1 }])
    await db.query(`drop table hubspot.taxes; drop view hubspot.taxes_quotes`)
  })

  it('of associations takes no name either', async () => {
    await db.query(`select hubspot.track('leads'); select hubspot.track_associations('leads', 'quotes')`)
    await db.query(`select hubspot.untrack_associations('leads', 'quotes'); drop table hubspot.leads_quotes; create table hubspot.leads_quotes as select 1 as mine`)
    expect(await refusal(`select hubspot.track_associations('leads', 'quotes')`)).toMatchObject({
      code: 'SH020', message: "table hubspot.leads_quotes is there already, and is not pg-hubspot's" })
    await db.query(`drop table hubspot.leads_quotes; select hubspot.track_associations('leads', 'quotes'); select hubspot.untrack('leads', drop_table => true)`)
  })
})
