import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createCallLog } from './http/calls.ts'
import { createControlServer } from './http/control.ts'
import { createFaults } from './http/faults.ts'
import { createLimits } from './http/limits.ts'
import { createHubspotServer } from './http/server.ts'
import { createTokens } from './http/tokens.ts'
import { allScopes } from './data/object-types.ts'
import { applySettings, defaultSettings, type Settings } from './settings.ts'
import { createClock } from './store/clock.ts'
import { randomStream } from './store/random.ts'
import { createApps } from './oauth/apps.ts'
import { createDataStore } from './store/store.ts'
import { Tables } from './store/tables.ts'
import type { Sandbox, SandboxOptions, Store } from './types.ts'
import { createPostman } from './webhooks/delivery.ts'
import { watchStore } from './webhooks/watch.ts'

/** Starts a HubSpot on loopback, with its records and a control API; resolves when both ports listen. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { seed = 1, portalId = 8_675_309 } = options
  const settings: Settings = { ...defaultSettings }
  applySettings(settings, options.settings ?? {})
  const clock = createClock(options.now, options.frozen)
  const tables = new Tables({ portalId, seed, now: clock.now }, settings)
  const tokens = createTokens(clock, (object) => allScopes(tables.get(object).type))
  const token = options.token ?? `pat-${settings.hosting}-sandbox-${portalId}`
  tokens.add({ token })
  const apps = createApps({ settings, clock, tokens, random: randomStream(seed, 'apps') })
  const sameObject = (asked: string, object: string | null) => object !== null && tables.find(asked, true)?.type.name === object
  const limits = createLimits(settings, clock)
  const faults = createFaults(randomStream(seed, 'faults'), sameObject)
  const calls = createCallLog(settings, sameObject)
  const postman = createPostman(settings, randomStream(seed, 'webhooks'))
  const store: Store = {
    ...watchStore(createDataStore({ portalId, seed, tables, clock, settings }), { tables, settings, postman }),
    setWebhooks: postman.setWebhooks,
    webhooks: postman.webhooks,
    deliveries: postman.deliveries,
    sendWebhooks: (events) => postman.sendWebhooks(events),
    webhooksSent: postman.webhooksSent,
    addToken: tokens.add,
    changeToken: tokens.change,
    revokeToken: tokens.revoke,
    addApp: apps.addApp,
    apps: apps.apps,
    installApp: apps.installApp,
    uninstallApp: apps.uninstallApp,
    revokeRefreshToken: apps.revokeRefreshToken,
    endAccessTokens: apps.endAccessTokens,
    addFault: faults.add,
    faults: faults.list,
    removeFaults: faults.remove,
    calls: calls.list,
    counts: calls.counts,
    resetCalls: calls.reset,
    nextCall: calls.next,
  }
  for (const [object, wanted] of Object.entries(options.objects ?? {})) {
    if (!tables.find(object, true)) store.addObject({ name: object })
    const count = typeof wanted === 'number' ? wanted : wanted.count
    if (count > 0) store.seed(object, wanted)
  }

  const account = { portalId, tables, store, apps, tokenCheck: tokens.check, clock, settings, random: randomStream(seed, 'answers'), usage: limits }
  const hubspot = createHubspotServer({
    account, limits, faults, calls, tokens,
    latencies: randomStream(seed, 'latency'),
    correlations: randomStream(seed, 'correlation'),
  })
  const control = createControlServer(store)
  const url = await listen(hubspot, options.port ?? 0)
  const controlUrl = await listen(control, options.controlPort ?? 0)
  const close = async () => {
    postman.close()
    await Promise.all([stop(hubspot), stop(control)])
  }
  return { url, controlUrl, token, portalId, store, close, [Symbol.asyncDispose]: close }
}

function listen(server: Server, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    })
  })
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
