import { InvalidInputError } from '../core/errors.js'
import { bytesOf, storable, textOf } from './parameters.js'

const initialSize = 16_384
const maxKept = 1_048_576
/** The protocol counts parameters in 16 bits; one more would silently wrap around to none. */
const maxParameters = 65_535
/** Up to here a loop over the characters is faster than a call into the runtime. */
const shortText = 64

/**
 * Encodes messages of the extended query protocol into one buffer, so that a pipeline is one write to the socket. pg's serializer
 * allocates one buffer per message and takes twice as long.
 */
export class Frames {
  private buffer = Buffer.allocUnsafe(initialSize)
  private end = 0

  get isEmpty(): boolean {
    return this.end === 0
  }

  parse(name: string, text: string): void {
    const start = this.open(0x50)
    this.cstring(name)
    this.cstring(text)
    this.int16(0)
    this.close(start)
  }

  /** Requests every column as text. */
  bind(name: string, values: readonly unknown[]): void {
    if (values.length > maxParameters) throw new InvalidInputError('', `needs more than ${maxParameters} parameters`)
    const start = this.open(0x42)
    this.byte(0)
    this.cstring(name)
    this.formats(values)
    this.int16(values.length)
    for (let index = 0; index < values.length; index++) this.value(values[index], index)
    this.int16(0)
    this.close(start)
  }

  describePortal(): void {
    const start = this.open(0x44)
    this.byte(0x50)
    this.byte(0)
    this.close(start)
  }

  execute(): void {
    const start = this.open(0x45)
    this.byte(0)
    this.int32(0)
    this.close(start)
  }

  closeStatement(name: string): void {
    const start = this.open(0x43)
    this.byte(0x53)
    this.cstring(name)
    this.close(start)
  }

  sync(): void {
    this.close(this.open(0x53))
  }

  /** A copy of the messages so far: the socket may keep it while this buffer is reused. */
  take(): Buffer {
    const bytes = Buffer.allocUnsafe(this.end)
    this.buffer.copy(bytes, 0, 0, this.end)
    this.discard()
    return bytes
  }

  discard(): void {
    this.end = 0
    if (this.buffer.length > maxKept) this.buffer = Buffer.allocUnsafe(initialSize)
  }

  private open(type: number): number {
    this.byte(type)
    const start = this.end
    this.int32(0)
    return start
  }

  private close(start: number): void {
    this.lengthAt(start, this.end - start)
  }

  private formats(values: readonly unknown[]): void {
    if (!values.some((value) => ArrayBuffer.isView(value))) {
      this.int16(0)
      return
    }
    this.int16(values.length)
    for (const value of values) this.int16(ArrayBuffer.isView(value) ? 1 : 0)
  }

  private value(value: unknown, index: number): void {
    if (value === null || value === undefined) {
      this.int32(-1)
      return
    }
    const start = this.end
    this.int32(0)
    if (ArrayBuffer.isView(value)) this.bytes(bytesOf(value, index + 1))
    else this.text(storable(typeof value === 'string' ? value : textOf(value, index + 1), index + 1))
    this.lengthAt(start, this.end - start - 4)
  }

  private bytes(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.buffer.set(bytes, this.end)
    this.end += bytes.length
  }

  private cstring(text: string): void {
    this.text(text)
    this.byte(0)
  }

  private text(text: string): void {
    const length = text.length
    if (length > shortText) {
      this.longText(text)
      return
    }
    this.reserve(length)
    const { buffer, end } = this
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index)
      if (code > 127) {
        this.longText(text)
        return
      }
      buffer[end + index] = code
    }
    this.end = end + length
  }

  private longText(text: string): void {
    this.reserve(Buffer.byteLength(text))
    this.end += this.buffer.write(text, this.end, 'utf8')
  }

  private byte(value: number): void {
    this.reserve(1)
    this.buffer[this.end++] = value
  }

  private int16(value: number): void {
    this.reserve(2)
    this.buffer[this.end++] = value >>> 8
    this.buffer[this.end++] = value
  }

  private int32(value: number): void {
    this.reserve(4)
    this.lengthAt(this.end, value)
    this.end += 4
  }

  private lengthAt(offset: number, value: number): void {
    const { buffer } = this
    buffer[offset] = value >>> 24
    buffer[offset + 1] = value >>> 16
    buffer[offset + 2] = value >>> 8
    buffer[offset + 3] = value
  }

  private reserve(bytes: number): void {
    if (this.end + bytes <= this.buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.end + bytes))
    this.buffer.copy(larger, 0, 0, this.end)
    this.buffer = larger
  }
}
