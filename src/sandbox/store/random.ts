import type { Span } from '../settings.ts'

/** An even draw from 0 (included) to 1 (excluded). */
export type Random = () => number

/** Mixes a whole number and a salt into 32 even bits; the same for the same two, always. */
export function hash(value: number, salt: number): number {
  let bits = Math.imul(value | 0, 0x9e3779b1) ^ salt ^ Math.imul(Math.floor(value / 0x100000000), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad)
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97)
  return (bits ^ (bits >>> 15)) >>> 0
}

/** 32 bits of a text, to be used as a salt (FNV-1a). */
export function hashText(text: string): number {
  let bits = 0x811c9dc5
  for (let at = 0; at < text.length; at++) bits = Math.imul(bits ^ text.charCodeAt(at), 0x01000193)
  return bits >>> 0
}

/** A stream of draws of its own: drawing from one never changes what another gives. */
export function randomStream(seed: number, name: string): Random {
  const salt = hashText(`${seed}:${name}`)
  let count = 0
  return () => hash(count++, salt) / 0x100000000
}

/** Milliseconds drawn evenly from a span. */
export function drawSpan(span: Span, random: Random): number {
  if (typeof span === 'number') return span
  return span[0] + (span[1] - span[0]) * random()
}

/** An id in the form of a version 4 UUID. */
export function drawUuid(random: Random): string {
  const hex = Array.from({ length: 4 }, () => Math.floor(random() * 0x100000000).toString(16).padStart(8, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
}
