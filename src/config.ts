/** The contents of `tenantry.config.ts`: where your own tables are. Paths are relative to that file. */
export interface TenantryConfig<Permission extends string = string> {
  /** The module that exports your tables: `schema` of your drizzle.config.ts. Leave it and `migrations` out while you have none. */
  readonly schema?: string
  /** The folder of their migrations: `out` of your drizzle.config.ts. */
  readonly migrations?: string
  /**
   * The table that records which of them were applied: `migrations` of your drizzle.config.ts. No other migrations in the database
   * may use it. Default: `app_migrations.migrations`.
   */
  readonly bookkeeping?: { readonly schema: string; readonly table: string }
  /** Your drizzle.config.ts, when it is not beside this file. */
  readonly drizzleConfig?: string
  /**
   * Permissions of your own with what they allow: `{ 'tickets:read': 'See tickets' }`. A repository over a table asks for
   * `<table>:read` and `<table>:write`. `migrate up` brings them to the database; the roles `owner` and `admin` have all of them.
   */
  readonly permissions?: Readonly<Record<Permission, string>>
  /** The other built-in roles that have some of them: `{ member: ['tickets:read'] }`. */
  readonly roles?: Readonly<Partial<Record<ConfigurableRole, readonly NoInfer<Permission>[]>>>
  /** The names of rules that `tenantry check` skips for your tables. */
  readonly exceptRules?: readonly string[]
  /** Other relations that the application's logins may use, such as `public.countries`: `tenantry proof` accepts rights on them. */
  readonly allowRelations?: readonly string[]
  /** SECURITY DEFINER functions of your own that the logins may execute, such as `public.slugify(text)`. */
  readonly allowFunctions?: readonly string[]
}

/** The built-in roles to which you can give permissions of your own. */
export type ConfigurableRole = 'developer' | 'manager' | 'billing_admin' | 'member' | 'customer' | 'read_only'

/** Types for `tenantry.config.ts`: `export default defineConfig({ schema: './src/schema.ts', migrations: './drizzle' })`. */
export const defineConfig = <const Permission extends string = never>(
  config: TenantryConfig<Permission>,
): TenantryConfig<Permission> => config

/**
 * The permissions of a config, for the type of `org.can`:
 *
 *     declare module 'tenantry' {
 *       interface Permissions extends PermissionsOf<typeof config> {}
 *     }
 */
export type PermissionsOf<Config extends { readonly permissions?: object | undefined }> = {
  readonly [Key in keyof NonNullable<Config['permissions']>]: true
}
