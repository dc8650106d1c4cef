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
 * Keeps V8's space for new objects small. Under load it grows to 67 MB, and page buffers wait there to be collected: of the
 * 259 MB that a load of a million records came to, that was half. A page is hardly an object to V8, so little is to be had by more.
 */
export function keepMemoryFlat(): void {
  // The maximum is read once, before any of our code; by what the space grows is looked up each time.
  setFlagsFromString('--semi-space-growth-factor=1')
}
