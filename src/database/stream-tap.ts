import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'
import type { Duplex } from 'node:stream'
import { UnavailableError } from '../core/errors.js'
import type { DriverClient } from './driver.js'

/** Called with a buffer and how many of its bytes were read. The buffer is read into again afterwards. */
type Receive = (bytes: Buffer, length: number) => void

const bufferSize = 65_536

/** Through which the bytes of a client's socket are taken away from pg. One for each client. */
export class StreamTap {
  private receive: Receive | undefined
  private reads = false

  /** For pg's option `stream`. Without TLS the socket reads into one buffer, and makes no event of it. */
  readonly open = ({ ssl }: { readonly ssl?: unknown } = {}): Socket => {
    if (ssl !== undefined && ssl !== false) return new Socket()
    this.reads = true
    const buffer = Buffer.allocUnsafeSlow(bufferSize)
    const onread: OnReadOpts = {
      buffer,
      callback: (length) => {
        if (this.receive === undefined) socket.emit('data', Buffer.from(buffer.subarray(0, length)))
        else this.receive(buffer, length)
        return true
      },
    }
    // Node knows the option here too; its types have it for `connect` alone, which pg calls itself.
    const options: SocketConstructorOpts & { onread: OnReadOpts } = { onread }
    const socket = new Socket(options)
    return socket
  }

  /** From now on the bytes go to `receive`, and pg sees none. The client has to be idle. */
  take(client: DriverClient, receive: Receive): Duplex {
    const { stream } = client.connection
    if (!client.readyForQuery || stream.listenerCount('data') !== 1)
      throw new UnavailableError('pg reads its socket in a way that this version of tenantry does not know')
    if (stream.destroyed) throw new Error('Connection terminated unexpectedly')
    stream.removeAllListeners('data')
    this.receive = receive
    if (!this.reads)
      stream.on('data', (bytes: Buffer) => {
        receive(bytes, bytes.length)
      })
    return stream
  }
}
