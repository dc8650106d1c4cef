import { readFileSync } from 'node:fs'

/** This package's version, from its package.json, which is two folders up from src/lib and dist/lib alike. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version
