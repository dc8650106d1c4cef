import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** A fenced block of a document. */
export type Block = { language: string; text: string }

/** The fenced blocks of a document, in order. */
export async function blocksOf(file: string): Promise<Block[]> {
  const text = await readFile(join(root, file), 'utf8')
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', inner = '']) => ({ language, text: inner }))
}

/** The statements of a script: what ends in a semicolon outside of quotes. */
export function statementsOf(script: string): string[] {
  const parts = script.match(/--[^\n]*|'(?:[^']|'')*'|\$\$[\s\S]*?\$\$|;|[^;'$-]+|./g) ?? []
  const statements = ['']
  for (const part of parts) {
    if (part === ';') statements.push('')
    else if (!part.startsWith('--')) statements[statements.length - 1] += part
  }
  return statements.map((statement) => statement.trim()).filter((statement) => statement !== '')
}

/** The commands of a shell block, without the remarks behind them. */
export function commandsOf(script: string): string[] {
  return script.split('\n').map((line) => line.replace(/(^|\s+)# .*$/, '').trim()).filter((line) => line !== '')
}

/** Shell lines that other tests run, or that cannot run here, with the reason. */
export const ELSEWHERE: Record<string, string> = {
  'npm ci && npm run demo': 'demo.test.ts runs the demo; .ci/run runs npm ci before it',
  'npm ci && npm test': 'this is it',
  'HUBSPOT_ACCESS_TOKEN=pat-na1-… npm run demo': 'it needs an account; demo.test.ts runs it against the sandbox',
  'export DATABASE_URL=postgres://user:password@localhost:5432/mydb': "the reader's own database; the others run with the test's",
  'npx graphile-worker -c "$DATABASE_URL"': 'cli-worker.test.ts runs it',
  'curl -H "Authorization: Bearer pat-na1-sandbox-8675309" "http://127.0.0.1:40001/crm/objects/2026-09/contacts?limit=2&properties=email"': 'sandbox.test.ts asks it',
  'export HUBSPOT_CLIENT_SECRET=the-client-secret-of-the-app': 'webhooks-docs.test.ts runs it',
  'export PG_HUBSPOT_HTTP_TOKEN=a-token-of-your-own': 'webhooks-docs.test.ts runs it',
  'npx pg-hubspot worker --http 127.0.0.1:8470': 'webhooks-docs.test.ts runs it',
  'curl -f http://127.0.0.1:8470/healthz': 'webhooks-docs.test.ts runs it',
  'curl -f http://127.0.0.1:8470/readyz': 'webhooks-docs.test.ts runs it',
  'curl -f -H "Authorization: Bearer a-token-of-your-own" http://127.0.0.1:8470/metrics': 'webhooks-docs.test.ts runs it',
  'npm run soak': 'it takes hours',
  'SOAK_RUNS=5000 SOAK_FIRST=1001 npm run soak': 'it takes hours',
  'PG_VERSION=15 npm run soak': 'it takes hours',
  'npx pg-hubspot connect --oauth --client-id 12345678-9abc-def0-1234-56789abcdef0 --scope crm.objects.contacts.read --scope crm.objects.deals.read < secret.txt':
    'credentials-docs.test.ts authorises the app',
  'export PG_HUBSPOT_KEY=$(openssl rand -base64 32)': 'credentials-docs.test.ts goes on with a key',
  'CONVERGENCE_SEED=42 npx vitest run test/convergence.test.ts': 'convergence.test.ts runs without it',
}
