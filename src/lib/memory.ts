import { setFlagsFromString } from 'node:v8'

/**
 * Gives the memory of a buffer back at once; the buffer is empty afterwards. V8 counts such memory towards its heap but does
 * not see when it is done with, and marks the whole heap to find out: for pages of 270 KB, every twenty of them. Memory that
 * the buffer shares with others is left alone.
 */
export function release(buffer: Buffer): void {
  if (buffer.buffer instanceof ArrayBuffer && buffer.byteLength === buffer.buffer.byteLength) buffer.buffer.transfer(0)
}

/**
 * Keeps V8's heap small. Its space for new objects grows to 67 MB under load, and page buffers wait there to be collected: of the
 * 259 MB that a load of a million records came to, that was half. The space for old ones may double before it is collected: that
 * was 67 MB of the 213 left. A page is hardly an object to V8, so little is to be had by either.
 */
export function keepMemoryFlat(): void {
  // The maximum is read once, before any of our code; by what each space grows is looked up each time.
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--heap-growing-percent=20')
}
