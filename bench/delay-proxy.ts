// A separate process between client and server. It delays everything by half of DELAY milliseconds in each direction, as a network
// does. It spins while it delays, because the timers of Node have no fractions of a millisecond.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const [host = '', port = '', delay = '0.5'] = process.argv.slice(2)
const held: { until: number; to: Socket; bytes: Buffer }[] = []

function release(): void {
  const now = performance.now()
  for (let first = held[0]; first !== undefined && first.until <= now; first = held[0]) {
    held.shift()
    if (!first.to.destroyed) first.to.write(first.bytes)
  }
  if (held.length > 0) setImmediate(release)
}

function pass(from: Socket, to: Socket): void {
  from.setNoDelay(true)
  from.on('error', () => undefined)
  from.on('close', () => to.destroy())
  from.on('data', (bytes) => {
    held.push({ until: performance.now() + Number(delay) / 2, to, bytes })
    if (held.length === 1) setImmediate(release)
  })
}

const server = createServer((client) => {
  const upstream = connect(Number(port), host)
  pass(client, upstream)
  pass(upstream, client)
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit())
