/** Called with each message: its type, and where its body begins and ends. The bytes are the reader's, and are overwritten later. */
export type OnMessage = (type: number, bytes: Buffer, start: number, end: number) => void

/** The type and the length, which counts itself. */
const headLength = 5
const lengthOfLength = 4
/** What is kept for messages that come in parts is given back when it was larger than this. */
const maxKept = 262_144

/** Cuts the bytes of the server into messages, in whatever parts they come. */
export class MessageReader {
  /** The beginning of a message that has not come wholly, in the first `kept` bytes. */
  private rest: Buffer = Buffer.alloc(0)
  private kept = 0

  constructor(private readonly onMessage: OnMessage) {}

  /** Reads the first `length` bytes. Returns false when they are no messages. What is kept of them is a copy. */
  push(bytes: Buffer, length: number): boolean {
    if (this.kept === 0) return this.read(bytes, length)
    this.keep(bytes, 0, length)
    const { rest, kept } = this
    this.kept = 0
    return this.read(rest, kept)
  }

  private read(bytes: Buffer, length: number): boolean {
    let at = 0
    while (length - at >= headLength) {
      const size = bytes.readInt32BE(at + 1)
      if (size < lengthOfLength) return false
      const next = at + 1 + size
      if (next > length) {
        this.keep(bytes, at, length)
        return true
      }
      this.onMessage(bytes[at] as number, bytes, at + headLength, next)
      at = next
    }
    if (at < length) this.keep(bytes, at, length)
    else if (this.rest.length > maxKept) this.rest = Buffer.alloc(0)
    return true
  }

  private keep(bytes: Buffer, start: number, end: number): void {
    const needed = this.kept + end - start
    // A long message comes in many parts: what has been kept of it stays where it is.
    if (bytes !== this.rest || start > 0) {
      if (needed > this.rest.length) {
        const larger = Buffer.allocUnsafe(Math.max(needed * 2, 1_024))
        this.rest.copy(larger, 0, 0, this.kept)
        this.rest = larger
      }
      bytes.copy(this.rest, this.kept, start, end)
    }
    this.kept = needed
  }
}
