// `npx tsx scripts/api-screenshot.ts`: renews docs/api-page.png, the page of examples/api as a browser shows it.
import { once } from 'node:events'
import { statSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { serve } from '@hono/node-server'
import { createApp } from '../examples/api/src/app.js'
import { openEmbeddedTenancy } from '../src/testing/index.js'
import { findChromium, inChromium } from './chromium.js'

const file = fileURLToPath(new URL('../docs/api-page.png', import.meta.url))
const chromium = findChromium(process.env)
if (chromium === undefined) {
  console.error('There is no Chromium: install it (on Debian: apt-get install chromium), or name it in CHROMIUM')
  process.exit(1)
}

const { tenancy, close } = await openEmbeddedTenancy()
const server = serve({ fetch: createApp(tenancy).fetch, port: 0, hostname: '127.0.0.1' })
try {
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await inChromium(chromium, `--screenshot=${file}`, `http://127.0.0.1:${port}/`)
  console.log(`${file}: ${Math.round(statSync(file).size / 1000)} kB`)
} finally {
  server.close()
  await close()
}
