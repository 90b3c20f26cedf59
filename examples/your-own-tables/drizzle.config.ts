import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'postgresql',
  schema: './src/schema.ts',
  out: './drizzle',
  // Not drizzle-kit's default: other migrations in this database may be there already.
  migrations: { schema: 'app_migrations', table: 'migrations' },
})
