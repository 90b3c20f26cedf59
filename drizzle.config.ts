import { defineConfig } from 'drizzle-kit'

// The bookkeeping table is tenantry's own: the host application has drizzle migrations too, and in a shared table the
// stock migrator silently skips the older-dated of the two.
export default defineConfig({
  dialect: 'postgresql',
  schema: './src/schema/index.ts',
  out: './drizzle',
  migrations: { schema: 'platform_migrations', table: 'migrations' },
})
