/** The contents of `tenantry.config.ts`: where your own tables are. Paths are relative to that file. */
export interface TenantryConfig {
  /** The module that exports your tables: `schema` of your drizzle.config.ts. */
  readonly schema: string
  /** The folder of their migrations: `out` of your drizzle.config.ts. */
  readonly migrations: string
  /**
   * The table that records which of them were applied: `migrations` of your drizzle.config.ts. No other migrations in the database
   * may use it. Default: `app_migrations.migrations`.
   */
  readonly bookkeeping?: { readonly schema: string; readonly table: string }
  /** Your drizzle.config.ts, when it is not beside this file. */
  readonly drizzleConfig?: string
  /** The names of rules that `tenantry check` skips for your tables. */
  readonly exceptRules?: readonly string[]
  /** Other relations that the application's logins may use, such as `public.countries`: `tenantry proof` accepts rights on them. */
  readonly allowRelations?: readonly string[]
  /** SECURITY DEFINER functions of your own that the logins may execute, such as `public.slugify(text)`. */
  readonly allowFunctions?: readonly string[]
}

/** Types for `tenantry.config.ts`: `export default defineConfig({ schema: './src/schema.ts', migrations: './drizzle' })`. */
export const defineConfig = (config: TenantryConfig): TenantryConfig => config
