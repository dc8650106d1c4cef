/**
 * Gives the memory of a buffer back at once; the buffer is empty afterwards. V8 counts such memory towards its heap but does
 * not see when it is done with, and marks the whole heap to find out: for pages of 270 KB, every twenty of them. Memory that
 * the buffer shares with others is left alone.
 */
export function release(buffer: Buffer): void {
  if (buffer.buffer instanceof ArrayBuffer && buffer.byteLength === buffer.buffer.byteLength) buffer.buffer.transfer(0)
}
