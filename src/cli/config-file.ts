import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { PgTable } from 'drizzle-orm/pg-core'
import { createJiti } from 'jiti'
import { z } from 'zod'
import { type GivenPermissions, type OwnPermission, ownPermissions } from '../access/own-permissions.js'
import { defineConfig } from '../config.js'
import { InvalidInputError } from '../core/errors.js'
import { setOf } from '../declared.js'
import { type MigrationSet, platformMigrations } from '../migrations/migrator.js'
import * as schema from '../schema/index.js'
import { platformTables, tablesOf } from '../schema/tables.js'
import { kitIsMissing } from './drizzle-kit.js'

/** The tables and migrations of the commands: the library's, and the host's where a tenantry.config.ts names them. */
export interface Project {
  readonly sets: readonly MigrationSet[]
  readonly tables: readonly PgTable[]
  /** The host's. */
  readonly permissions: readonly OwnPermission[]
  readonly own: OwnProject | undefined
  readonly allowed: Allowed
}

/** What the logins may use beside the tables. */
interface Allowed {
  readonly allowRelations?: readonly string[]
  readonly allowFunctions?: readonly string[]
}

export interface OwnProject {
  /** The path of tenantry.config.ts, for messages. */
  readonly file: string
  /** Everything that the host's schema module exports. */
  readonly definitions: Record<string, unknown>
  readonly set: MigrationSet
  readonly given: GivenPermissions
  readonly permissions: readonly OwnPermission[]
  readonly drizzleConfig: string
  readonly exceptRules: readonly string[]
}

export interface DrizzleConfig {
  readonly schema: string
  readonly folder: string
  readonly bookkeeping: { readonly schema: string; readonly table: string }
}

const name = z.string().min(1).max(63)
const path = z.string().min(1)
const names = z.array(z.string()).default([])
const allowed = { allowRelations: names, allowFunctions: names }
const ownConfig = z.strictObject({
  schema: path,
  migrations: path,
  bookkeeping: z.strictObject({ schema: name, table: name }).optional(),
  drizzleConfig: path.default('drizzle.config.ts'),
  permissions: z.record(z.string(), z.string()).default({}),
  roles: z.record(z.string(), z.array(z.string())).default({}),
  exceptRules: names,
  ...allowed,
})
/** Of a project that has no tables of its own. */
const allowingConfig = z.strictObject(allowed)
// The fields of drizzle-kit's config that are read here, with its defaults.
const kitConfig = z.object({
  schema: path,
  out: path.default('drizzle'),
  migrations: z.object({ schema: name.default('drizzle'), table: name.default('__drizzle_migrations') }).prefault({}),
})

const endings = ['ts', 'mts', 'js', 'mjs']

/** What `openTenancy` has to know of the host's tables. */
export const openingOptions = ({ own, allowed }: Project) => ({
  ...(own !== undefined && {
    own: {
      schema: own.definitions,
      migrations: own.set.folder,
      bookkeeping: own.set.bookkeeping,
      ...own.given,
    },
  }),
  ...allowed,
})

/** The library's tables alone. */
export const platformProject: Project = {
  sets: [platformMigrations],
  tables: platformTables,
  permissions: [],
  own: undefined,
  allowed: {},
}

/**
 * Reads the given config file, or else the nearest one from `cwd` upwards. Without one the project has the library's tables only.
 */
export async function loadProject(cwd: string, given: string | undefined): Promise<Project> {
  const file = given === undefined ? findUpwards(cwd, 'tenantry.config') : resolve(cwd, given)
  if (file === undefined) return platformProject
  const exported = (await loadModule(file, { tenantry: { defineConfig } })).default
  if (exported === undefined) {
    throw new InvalidInputError(file, 'has no default export: write `export default defineConfig({ ... })`')
  }
  if (allowingConfig.safeParse(exported).success)
    return { ...platformProject, allowed: parsed(file, allowingConfig, exported) }
  const { allowRelations, allowFunctions, ...config } = parsed(file, ownConfig, exported)
  const own = await ownProject(file, config)
  const tables = new Set([...platformTables, ...tablesOf(own.definitions)])
  return {
    sets: [platformMigrations, own.set],
    tables: [...tables],
    permissions: own.permissions,
    own,
    allowed: { allowRelations, allowFunctions },
  }
}

/** The nearest file of that name from `cwd` upwards, with any extension of a module. */
export function findUpwards(cwd: string, stem: string): string | undefined {
  const found = endings.map((ending) => join(cwd, `${stem}.${ending}`)).find((file) => existsSync(file))
  const above = dirname(cwd)
  return found ?? (above === cwd ? undefined : findUpwards(above, stem))
}

export async function readDrizzleConfig(file: string): Promise<DrizzleConfig> {
  if (!existsSync(file)) throw new InvalidInputError(file, `there is no such file. ${minimalDrizzleConfig}`)
  const { schema, out, migrations } = parsed(file, kitConfig, (await loadModule(file, {})).default)
  return { schema: resolve(dirname(file), schema), folder: resolve(dirname(file), out), bookkeeping: migrations }
}

/**
 * Loads a module of tables. Its import of `tenantry/schema` gets the copy that the command has loaded: declareTable stores kinds in
 * its own copy, and the command reads only that of its own.
 */
export const loadDefinitions = (file: string): Promise<Record<string, unknown>> =>
  loadModule(file, { 'tenantry/schema': schema })

/** For an error where there is none. */
export const minimalDrizzleConfig = `drizzle-kit needs one, such as:

import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'postgresql',
  schema: './src/schema.ts',
  out: './drizzle',
  migrations: { schema: 'app_migrations', table: 'migrations' },
})`

async function ownProject(
  file: string,
  {
    schema,
    migrations,
    bookkeeping,
    drizzleConfig,
    permissions,
    roles,
    exceptRules,
  }: Omit<z.output<typeof ownConfig>, keyof Allowed>,
): Promise<OwnProject> {
  const given = { permissions, roles }
  const declared = ownPermissions(given, `${file} `)
  const at = (path: string) => resolve(dirname(file), path)
  const definitions = await loadDefinitions(at(schema))
  if (tablesOf(definitions).length === 0) throw new InvalidInputError(at(schema), 'exports no table')
  const set = setOf({ schema: definitions, migrations: at(migrations), ...(bookkeeping && { bookkeeping }) })
  return { file, set, definitions, given, permissions: declared, drizzleConfig: at(drizzleConfig), exceptRules }
}

function parsed<Shape extends z.ZodType>(file: string, shape: Shape, value: unknown): z.output<Shape> {
  const { success, data, error } = shape.safeParse(value)
  if (success) return data
  throw new InvalidInputError(
    error.issues.map(({ path, message }) => ({ field: [file, path.join('.')].join(' ').trim(), reason: message })),
  )
}

/** Loads a TypeScript or JavaScript module of the host. Imports of these names get the modules that are loaded here already. */
async function loadModule(file: string, virtualModules: Record<string, unknown>): Promise<Record<string, unknown>> {
  if (!existsSync(file)) throw new InvalidInputError(file, 'there is no such file')
  const jiti = createJiti(import.meta.url, {
    virtualModules,
    fsCache: false,
    moduleCache: false,
    interopDefault: false,
  })
  try {
    return { ...(await jiti.import<Record<string, unknown>>(file)) }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const reason = /^Cannot find (?:module|package) 'drizzle-kit'/.test(message) ? kitIsMissing : message
    throw new InvalidInputError(file, `cannot be loaded: ${reason}`)
  }
}
