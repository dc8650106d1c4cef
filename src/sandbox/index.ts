export type * from './types.ts'
export type { Settings, Span } from './settings.ts'
export { startSandbox } from './start.ts'
