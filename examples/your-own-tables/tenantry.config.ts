import { defineConfig } from 'tenantry'

export default defineConfig({ schema: './src/schema.ts', migrations: './drizzle' })
