import { createHash, createHmac } from 'node:crypto'
import type { WebhookTarget } from '../types.ts'

/** The signature headers of a request to the target; `now`: epoch ms, real time, since receivers compare it with theirs. */
export function signatureHeaders({ url, clientSecret, signatures = ['v3', 'v1'] }: WebhookTarget, body: string, now: number): Record<string, string> {
  const headers: Record<string, string> = {}
  if (signatures.includes('v3')) {
    headers['X-HubSpot-Signature-v3'] = createHmac('sha256', clientSecret).update(`POST${shown(url)}${body}${now}`).digest('base64')
    headers['X-HubSpot-Request-Timestamp'] = String(now)
  }
  const older = signatures.includes('v2') ? 'v2' : signatures.includes('v1') ? 'v1' : undefined
  if (older !== undefined) {
    const source = older === 'v2' ? `${clientSecret}POST${url}${body}` : clientSecret + body
    headers['X-HubSpot-Signature'] = createHash('sha256').update(source).digest('hex')
    headers['X-HubSpot-Signature-Version'] = older
  }
  return headers
}

/** HubSpot signs these characters of a URL unescaped. */
const plain: Readonly<Record<string, string>> = {
  '%3A': ':', '%2F': '/', '%3F': '?', '%40': '@', '%21': '!', '%24': '$', '%27': "'", '%28': '(', '%29': ')', '%2A': '*', '%2C': ',', '%3B': ';',
}

function shown(url: string): string {
  return url.replace(/%[0-9a-f]{2}/gi, (escape) => plain[escape.toUpperCase()] ?? escape)
}
