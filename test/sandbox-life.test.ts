import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Store } from '../src/sandbox/index.ts'
import { type Hands, sandboxInHand } from './support/sandbox.ts'

type Name = 'contacts' | 'companies'
const inverse: Record<string, string> = { Primary: 'Primary', Biller: 'Billed', Billed: 'Biller', Parent: 'Child', Child: 'Parent', Friend: 'Friend' }
const labels: Record<string, readonly string[]> = { 'contacts companies': ['Primary', 'Biller'], 'companies contacts': ['Primary', 'Billed'], 'contacts contacts': ['Parent', 'Child', 'Friend'] }
const pairs = Object.keys(labels) as `${Name} ${Name}`[]

const pick = fc.nat({ max: 1_000 })
const object = fc.constantFrom<Name>('contacts', 'companies')
const pair = fc.constantFrom(...pairs)
const command = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('associate' as const), pair, a: pick, b: pick, label: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('dissociate' as const), pair, a: pick, label: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('merge' as const), object, a: pick, b: pick, isNew: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('archive' as const, 'restore' as const), object, a: pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const), object, a: pick }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('create' as const), object, a: pick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('days' as const), days: fc.integer({ min: 1, max: 60 }) }) },
)
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never

/** What an account should show, by plain sets: records by state, and edges by their two ends, each with its labels. */
class Model {
  readonly live: Record<Name, Set<string>> = { contacts: new Set(), companies: new Set() }
  readonly archived: Record<Name, Map<string, number>> = { contacts: new Map(), companies: new Map() }
  readonly lost = new Map<string, string>()
  readonly edges = new Map<string, Set<string>>()
  now = 0

  link(from: Name, a: string, to: Name, b: string, names: Iterable<string>): void {
    for (const [key, turn] of [[`${from} ${a} ${to} ${b}`, (name: string) => name], [`${to} ${b} ${from} ${a}`, (name: string) => inverse[name]!]] as const) {
      const had = this.edges.get(key) ?? new Set()
      for (const name of names) had.add(turn(name))
      this.edges.set(key, had)
    }
  }

  primary(contact: string): string | undefined {
    return this.ends('contacts', contact).find(({ to, names }) => to === 'companies' && names.has('Primary'))?.b
  }

  unlink(from: Name, a: string, to: Name, b: string, name?: string): void {
    for (const [key, one] of [[`${from} ${a} ${to} ${b}`, name], [`${to} ${b} ${from} ${a}`, name && inverse[name]]] as const) {
      if (one === undefined) this.edges.delete(key)
      else this.edges.get(key)?.delete(one)
    }
  }

  ends(from: Name, a: string): { to: Name; b: string; names: Set<string> }[] {
    return [...this.edges].filter(([key]) => key.startsWith(`${from} ${a} `)).map(([key, names]) => {
      const [, , to, b] = key.split(' ')
      return { to: to as Name, b: b!, names }
    })
  }

  forget(name: Name, id: string): void {
    for (const { to, b } of this.ends(name, id)) this.unlink(name, id, to, b)
    this.live[name].delete(id)
    this.archived[name].delete(id)
  }

  inherit(name: Name, loser: string, heir: string): void {
    for (const { to, b, names } of this.ends(name, loser)) {
      this.unlink(name, loser, to, b)
      if (to === name && b === heir) continue
      const primary = name === 'contacts' && to === 'companies' ? this.primary(heir) : undefined
      this.link(name, heir, to, b, [...names].filter((label) => label !== 'Primary' || primary === undefined || primary === b))
    }
    this.forget(name, loser)
    this.live[name].add(heir)
    this.lost.set(`${name} ${loser}`, heir)
  }

  shown(both: `${Name} ${Name}`): string[] {
    const [from, to] = both.split(' ') as [Name, Name]
    return [...this.edges].flatMap(([key, names]) => {
      const [one, a, other, b] = key.split(' ')
      const fits = one === from && other === to && this.live[from].has(a!) && this.live[to].has(b!)
      return fits ? ['null', ...names].map((name) => `${a} ${name} ${b}`) : []
    }).sort()
  }
}

function play(store: Store, model: Model, command: Command): void {
  if (command.do === 'days') {
    store.advance(command.days * 86_400_000)
    model.now += command.days
    for (const name of ['contacts', 'companies'] as const) {
      for (const [id, at] of model.archived[name]) if (model.now - at >= 90) model.forget(name, id)
    }
    return
  }
  const chosen = (ids: Iterable<string>, at: number): string | undefined => {
    const all = [...ids]
    return all[at % all.length]
  }
  if (command.do === 'associate' || command.do === 'dissociate') {
    const [from, to] = command.pair.split(' ') as [Name, Name]
    const label = labels[command.pair]![command.label]
    const a = chosen(model.live[from], command.a)
    if (a === undefined) return
    if (command.do === 'associate') {
      const b = chosen(model.live[to], command.b)
      if (b === undefined || (from === to && a === b)) return
      store.associate(from, a, to, b, label === undefined ? [] : [label])
      if (label === 'Primary') {
        const [contact, company] = from === 'contacts' ? [a, b] : [b, a]
        const before = model.primary(contact)
        if (before !== undefined && before !== company) model.unlink('contacts', contact, 'companies', before, 'Primary')
      }
      model.link(from, a, to, b, label === undefined ? [] : [label])
    } else {
      const end = model.ends(from, a).find((one) => one.to === to)
      if (!end) return
      store.dissociate(from, a, to, end.b, label === undefined ? undefined : [label])
      model.unlink(from, a, to, end.b, label)
    }
    return
  }
  const { object: name } = command
  if (command.do === 'create') model.live[name].add(store.create(name, [{}])[0]!.id)
  else if (command.do === 'restore') {
    const id = chosen(model.archived[name].keys(), command.a)
    if (id === undefined) return
    store.restore(name, id)
    model.archived[name].delete(id)
    model.live[name].add(id)
  } else {
    const id = chosen(model.live[name], command.a)
    if (id === undefined) return
    if (command.do === 'archive') {
      store.archive(name, id)
      model.live[name].delete(id)
      model.archived[name].set(id, model.now)
    } else if (command.do === 'purge') {
      store.purge(name, id)
      model.forget(name, id)
    } else if (command.do === 'merge') {
      const other = chosen(model.live[name], command.b)
      if (other === undefined || other === id) return
      const survivor = store.merge(name, id, other, { newId: command.isNew }).id
      if (command.isNew) model.inherit(name, id, survivor)
      model.inherit(name, other, survivor)
    }
  }
}

async function matches(sandbox: Hands, model: Model): Promise<void> {
  const { store } = sandbox
  for (const name of ['contacts', 'companies'] as const) {
    const ids = (archived: boolean) => [...store.records(name, { archived })].map(({ id }) => id)
    expect(new Set(ids(false))).toEqual(model.live[name])
    expect(new Set(ids(true))).toEqual(new Set(model.archived[name].keys()))
    expect(store.count(name)).toBe(model.live[name].size)
  }
  for (const both of pairs) {
    const [from, to] = both.split(' ') as [Name, Name]
    expect([...store.edges(from, to)].map(({ fromId, label, toId }) => `${fromId} ${label} ${toId}`).sort(), both).toEqual(model.shown(both))
    const inputs = [...model.live[from], ...model.archived[from].keys()].map((id) => ({ id }))
    const { body } = await sandbox.ask(`/crm/associations/2026-09/${from}/${to}/batch/read`, { body: { inputs } })
    type Result = { from: { id: string }; to: { toObjectId: number; associationTypes: { label: string | null }[] }[] }
    const answered = body.results.flatMap((one: Result) => one.to.flatMap((end) => end.associationTypes.map(({ label }) => `${one.from.id} ${label} ${end.toObjectId}`)))
    expect(answered.sort(), both).toEqual(model.shown(both))
    expect(body.results.length + (body.errors?.length ?? 0)).toBe(inputs.length)
  }
  for (const [key, heir] of model.lost) {
    const [name, id] = key.split(' ') as [Name, string]
    let last = heir
    while (model.lost.has(`${name} ${last}`)) last = model.lost.get(`${name} ${last}`)!
    const { status, body } = await sandbox.ask(`/crm/v3/objects/${name}/${id}?archived=${model.archived[name].has(last)}`)
    if (model.live[name].has(last) || model.archived[name].has(last)) expect([status, body.id]).toEqual([200, last])
    else expect(status).toBe(404)
  }
}

test('whatever is associated, merged, archived, restored, purged and forgotten in whatever order, what is shown is what should be', { timeout: 60_000 }, async () => {
  await fc.assert(fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 150, size: 'max' }), async (commands) => {
    await using sandbox = await sandboxInHand({ objects: { contacts: 5, companies: 4 } })
    const { store } = sandbox
    store.defineLabel('contacts', 'companies', { label: 'Biller', inverseLabel: 'Billed' })
    store.defineLabel('contacts', 'contacts', { label: 'Parent', inverseLabel: 'Child' })
    store.defineLabel('contacts', 'contacts', { label: 'Friend' })
    const model = new Model()
    for (const name of ['contacts', 'companies'] as const) for (const { id } of store.records(name)) model.live[name].add(id)
    for (const one of commands) play(store, model, one)
    await matches(sandbox, model)
  }), { numRuns: 60 })
})
