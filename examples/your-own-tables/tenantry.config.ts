import { defineConfig } from 'tenantry'
import { access } from './src/permissions.js'

export default defineConfig({ schema: './src/schema.ts', migrations: './drizzle', ...access })
