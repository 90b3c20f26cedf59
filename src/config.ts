/** What `tenantry.config.ts` says: where your own tables are. Paths are relative to that file. */
export interface TenantryConfig {
  /** The module that exports your tables: `schema` of your drizzle.config.ts. */
  readonly schema: string
  /** The folder of their migrations: `out` of your drizzle.config.ts. */
  readonly migrations: string
  /**
   * The table that remembers which of them were applied: `migrations` of your drizzle.config.ts, and not the one of any other
   * migrations in the database. Default: `app_migrations.migrations`.
   */
  readonly bookkeeping?: { readonly schema: string; readonly table: string }
  /** Your drizzle.config.ts, when it is not beside this file. */
  readonly drizzleConfig?: string
  /** Rules that `tenantry check` leaves out for your tables, by name. */
  readonly exceptRules?: readonly string[]
  /** What else the application's logins may use, such as `public.countries`: `tenantry proof` then does not mind. */
  readonly allowRelations?: readonly string[]
  /** SECURITY DEFINER functions of your own that the logins may execute, such as `public.slugify(text)`. */
  readonly allowFunctions?: readonly string[]
}

/** Gives the types to `tenantry.config.ts`: `export default defineConfig({ schema: './src/schema.ts', migrations: './drizzle' })`. */
export const defineConfig = (config: TenantryConfig): TenantryConfig => config
