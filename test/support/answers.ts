import type { ProxiedConnection, Proxy } from './proxy.js'

/** One message of the server. */
export interface Message {
  readonly type: string
  readonly bytes: Buffer
}

export const message = (type: string, body = Buffer.alloc(0)): Message => {
  const bytes = Buffer.alloc(5 + body.length)
  bytes.write(type, 0, 'latin1')
  bytes.writeInt32BE(4 + body.length, 1)
  body.copy(bytes, 5)
  return { type, bytes }
}

export const readyForQuery = message('Z', Buffer.from('I'))

export const joined = (messages: readonly Message[]): Buffer => Buffer.concat(messages.map(({ bytes }) => bytes))

/** What a change makes of an answer: what the client gets at once, and the rest. */
export interface Changed {
  readonly now: readonly Message[]
  readonly later?: readonly Message[]
}

export interface Answers {
  /** Changes the answer to the next batch. Resolves when it has been passed on, to a function that sends the rest of it. */
  change(change: (answer: readonly Message[]) => Changed): Promise<() => void>
  /** The connection that was answered last. */
  readonly last: ProxiedConnection
}

/** Holds back what the server sends until an answer is whole, so that a test can change its messages one by one. */
export function interceptAnswers(proxy: Proxy): Answers {
  const held = new WeakMap<ProxiedConnection, Buffer>()
  let next: ((answer: readonly Message[]) => Changed) | undefined
  let passed: (sendRest: () => void) => void = () => undefined
  let last: ProxiedConnection | undefined
  proxy.filter = (bytes, direction, connection) => {
    if (direction === 'to server') return bytes
    const all = Buffer.concat([held.get(connection) ?? Buffer.alloc(0), bytes])
    const { messages, rest } = split(all)
    // While a connection is made, the client answers before the server is ready.
    if (next !== undefined && messages.at(-1)?.type !== 'Z') {
      held.set(connection, all)
      return undefined
    }
    held.set(connection, rest)
    last = connection
    if (next === undefined) return joined(messages)
    const { now, later = [] } = next(messages)
    next = undefined
    setImmediate(() => {
      passed(() => {
        connection.sendToClient(joined(later))
      })
    })
    return joined(now)
  }
  return {
    change: (change) => {
      next = change
      return new Promise((resolve) => (passed = resolve))
    },
    get last() {
      if (last === undefined) throw new Error('nothing was answered yet')
      return last
    },
  }
}

function split(bytes: Buffer): { messages: Message[]; rest: Buffer } {
  const messages: Message[] = []
  let at = 0
  while (at + 5 <= bytes.length) {
    const end = at + 1 + bytes.readInt32BE(at + 1)
    if (end > bytes.length) break
    messages.push({ type: String.fromCharCode(bytes[at] ?? 0), bytes: bytes.subarray(at, end) })
    at = end
  }
  return { messages, rest: bytes.subarray(at) }
}
