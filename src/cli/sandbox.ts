import { z } from 'zod'
import { startSandbox } from '../sandbox/index.ts'
import { standardTypes } from '../sandbox/data/object-types.ts'
import { controlRoutes } from '../sandbox/http/control.ts'
import { applySettings, defaultSettings, type Settings } from '../sandbox/settings.ts'
import { command, EXIT, flag, Usage, value, values, whole } from './support/command.ts'
import { columns } from './support/screen.ts'

const port = whole(0, 65_535)

/** `pg-hubspot sandbox`. */
export const sandbox = command({
  name: 'sandbox',
  args: '[--OBJECT N …]',
  isOpen: true,
  summary: 'A HubSpot that runs here, for trying and testing.',
  about: `
Serves HubSpot's API on loopback with generated records, rate limits and a late search index, until it is stopped. Prints one JSON
line: {url, controlUrl, token, portalId}. Point a worker at it with HUBSPOT_API_URL and the token.

--OBJECT N makes N records of an object, as in --contacts 5000 --deals 200; a name that HubSpot does not have becomes a custom
object, as in --vehicle 50. Without any: 1,000 contacts, 300 companies, 400 deals.

Settings, with their defaults (--set lag=0, --set lag=[500,3000], --set limits=false):
${Object.entries(defaultSettings).map(([name, given]) => `  ${name}=${JSON.stringify(given)}`).join('\n')}

The control API, at controlUrl, JSON in and out (docs/sandbox.md says more):
${columns(Object.entries(controlRoutes).map(([route, { about }]) => [`  ${route}`, about]))}`,
  options: {
    port: value('N', port, "HubSpot's port; 0, the default, takes a free one."),
    'control-port': value('N', port, "The control API's port; 0, the default, takes a free one."),
    seed: value('N', whole(0, 2 ** 31), 'Decides every value, id, delay and fault; 1 by default.'),
    token: value('TOKEN', z.string().regex(/^[\x21-\x7e]{8,}$/, 'has spaces, or is shorter than 8'), 'A token with every scope. It is made up, so that it may stand here.'),
    'portal-id': value('N', whole(1, 2 ** 40), "The account's id; 8675309 by default."),
    now: value('TIME', z.iso.datetime({ offset: true, error: 'is no ISO time' }), "The clock at the start; the machine's by default."),
    frozen: flag('The clock stands still until the control API moves it.'),
    set: values('NAME=VALUE', z.array(z.string()).transform(readSettings), 'A setting; may be given many times.'),
  },
  endsInOrder: true,
  async run({ options, others, signal }) {
    const objects = Object.fromEntries(
      Object.entries(others).map(([name, text]) => {
        // A standard object goes by any of its names, a custom one as HubSpot has it.
        const isStandard = standardTypes.some((type) => [type.typeId, type.name, type.singular].includes(name.toLowerCase()))
        if (!isStandard && !/^[a-z][a-z0-9_]*$/.test(name)) throw new Usage(`--${name} is no name of an object: small letters, digits and _`, 'See: pg-hubspot sandbox --help')
        const read = whole(0, 10_000_000).safeParse(text)
        if (!read.success) throw new Usage(`--${name} ${read.error.issues[0]?.message}`, 'See: pg-hubspot sandbox --help')
        return [name, read.data]
      }),
    )
    const { port: hubspotPort, 'control-port': controlPort, seed, token, 'portal-id': portalId, now, frozen, set } = options
    const given = { port: hubspotPort, controlPort, seed, token, portalId, now, frozen, settings: set }
    await using running = await startSandbox({
      ...Object.fromEntries(Object.entries(given).filter(([, one]) => one !== undefined)),
      objects: Object.keys(objects).length > 0 ? objects : { contacts: 1_000, companies: 300, deals: 400 },
    })
    const { url, controlUrl } = running
    console.log(JSON.stringify({ url, controlUrl, token: running.token, portalId: running.portalId }))
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    return EXIT.ok
  },
})

function readSettings(pairs: string[], context: z.RefinementCtx): Partial<Settings> {
  const settings = Object.fromEntries(pairs.map((pair) => [pair.split('=', 1)[0], fromText(pair.slice(pair.indexOf('=') + 1))])) as Partial<Settings>
  try {
    applySettings({ ...defaultSettings }, settings)
  } catch (error) {
    context.addIssue((error as Error).message.replace(/^setting /, ''))
  }
  return settings
}

/** JSON where it is, else the text itself, as in --set hosting=eu1. */
function fromText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
