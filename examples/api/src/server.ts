import { serve } from '@hono/node-server'
import { createApp } from './app.js'
import { open } from './open.js'
import { seed } from './seed.js'
import { tell } from './tell.js'

const tenancy = await open()
const isTrial = process.env.DATABASE_URL === undefined
if (isTrial) tell(await seed(tenancy))

const server = serve(
  { fetch: createApp(tenancy).fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' },
  (info) => {
    console.log(`The API and its page: http://localhost:${String(info.port)}`)
  },
)

// What has begun is answered, and then the connections end.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    server.close(() => void tenancy.close())
  })
}
