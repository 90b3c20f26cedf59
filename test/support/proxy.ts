import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A TCP proxy in front of a server, which can fail in every way that a network does. */
export interface Proxy {
  /** The url of the server, through the proxy. */
  readonly url: string
  /** How many connections are open. */
  readonly connections: number
  /** Sees all bytes on their way, and passes on what it gives back; undefined keeps them for ever. */
  filter: (bytes: Buffer, direction: 'to server' | 'to client', connection: ProxiedConnection) => Buffer | undefined
  /** Bytes stay on their way, of new connections too, and arrive when it ends. */
  isStalled: boolean
  /** Passes each byte on by itself. */
  split: boolean
  /** Breaks every connection, as a crashed router does. */
  reset(): void
  close(): Promise<void>
}

/** One connection of a client, for as long as it lives. */
export interface ProxiedConnection {
  /** Bytes that the client takes for the server's. */
  readonly sendToClient: (bytes: Buffer) => void
}

export async function startProxy(serverUrl: string): Promise<Proxy> {
  const target = new URL(serverUrl)
  const sockets = new Set<Socket>()
  let isStalled = false
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    const connection: ProxiedConnection = {
      sendToClient: (bytes) => {
        client.write(bytes)
      },
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      if (isStalled) socket.pause()
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (bytes) => {
      pass(proxy.filter(bytes, 'to server', connection), upstream)
    })
    upstream.on('data', (bytes) => {
      pass(proxy.filter(bytes, 'to client', connection), client)
    })
  })
  const pass = (bytes: Buffer | undefined, to: Socket): void => {
    if (bytes === undefined) return
    if (proxy.split) for (const byte of bytes) to.write(Buffer.of(byte))
    else to.write(bytes)
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(serverUrl)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  const proxy: Proxy = {
    url: url.href,
    get connections() {
      return sockets.size / 2
    },
    filter: (bytes) => bytes,
    get isStalled() {
      return isStalled
    },
    set isStalled(value) {
      isStalled = value
      for (const socket of sockets) {
        if (value) socket.pause()
        else socket.resume()
      }
    },
    split: false,
    reset() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return proxy
}

/** Counts the answers of the server from now on: how often it became ready for the next query. */
export function countRoundTrips(proxy: Proxy): () => number {
  let count = 0
  const { filter } = proxy
  proxy.filter = (bytes, direction, connection) => {
    // ReadyForQuery is the last message of an answer, and is not cut in these short ones.
    if (direction === 'to client' && bytes.at(-6) === 0x5a) count++
    return filter(bytes, direction, connection)
  }
  return () => count
}
