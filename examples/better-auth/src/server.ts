import { serve } from '@hono/node-server'
import { openTenancy } from 'tenantry'
import { createApp } from './app.js'
import { openAuth } from './auth.js'

const { DATABASE_URL, SYSTEM_DATABASE_URL, AUTH_DATABASE_URL = '', BETTER_AUTH_SECRET = '' } = process.env
const tenancy = await openTenancy({ url: DATABASE_URL, systemUrl: SYSTEM_DATABASE_URL })
const { auth } = openAuth({ url: AUTH_DATABASE_URL, secret: BETTER_AUTH_SECRET, baseURL: 'http://localhost:3000' })

const app = createApp({
  tenancy,
  auth,
  sendInvitation: (email, token) => {
    console.log(`Send to ${email}: ${token}`)
  },
})
serve({ fetch: app.fetch, port: 3000 }, ({ port }) => {
  console.log(`http://localhost:${port}`)
})
