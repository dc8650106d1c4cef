// npm run bench            all of them, one after another
// npm run bench load poll  these; kills, polling and subscribers, minutes of them, only so
import { cpus, totalmem } from 'node:os'
import { type Figure, printFigures } from './support/figure.ts'

const BENCHES = {
  load: () => import('./load.ts'),
  resync: () => import('./resync.ts'),
  feed: () => import('./feed.ts'),
  'end-to-end': () => import('./end-to-end.ts'),
  memory: () => import('./memory.ts'),
  ceiling: () => import('./ceiling.ts'),
  poll: () => import('./poll.ts'),
  polling: () => import('./polling.ts'),
  requests: () => import('./requests.ts'),
  live: () => import('./live.ts'),
  gateway: () => import('./gateway.ts'),
  webhooks: () => import('./webhooks.ts'),
  budgets: () => import('./budgets.ts'),
  kills: () => import('./kills.ts'),
  subscribers: () => import('./subscribers.ts'),
} satisfies Record<string, () => Promise<{ run(): Promise<Figure[]> }>>

/** Minutes long: run when named. */
const BY_HAND = new Set(['kills', 'polling', 'subscribers'])

const names = process.argv.slice(2)
const unknown = names.filter((name) => !Object.hasOwn(BENCHES, name))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}; there are: ${Object.keys(BENCHES).join(', ')}`)
  process.exit(64)
}
console.log(`${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB`)
for (const [name, load] of Object.entries(BENCHES)) {
  if (names.length > 0 ? !names.includes(name) : BY_HAND.has(name)) continue
  console.log(`\n${name}`)
  printFigures(await (await load()).run())
}
