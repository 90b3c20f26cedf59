import { startEmbeddedServer } from '../../src/testing/embedded-server.js'

// Started as a process of its own, under the hardest circumstances: nobody else may read what it writes.
process.umask(0o077)
const { url } = await startEmbeddedServer()
process.stdout.write(url)
setInterval(() => undefined, 60_000)
