import { parentPort } from 'node:worker_threads'
import { acts, loadParser, TooComplex } from '../query.ts'
import type { Found } from './parser.ts'

// A parser's thread: a text comes, what it does goes back. What is thrown here ends it.
await loadParser()
parentPort!.on('message', (text: string) => parentPort!.postMessage(found(text)))
parentPort!.postMessage('ready')

function found(text: string): Found {
  try {
    return acts(text) ?? 'unreadable'
  } catch (error) {
    if (error instanceof TooComplex) return 'too complex'
    throw error
  }
}
