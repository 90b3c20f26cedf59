import { existsSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { getTableConfig, isPgSchema } from 'drizzle-orm/pg-core'
import { uncoveredTables, uncoveredText } from '../../access/own-permissions.js'
import { takenNames } from '../../core/relational-schema.js'
import { checkTables, type Finding } from '../../lint/check-tables.js'
import * as library from '../../schema/index.js'
import { ownTablesOf, platformTables } from '../../schema/tables.js'
import { type OwnProject, type Project, readDrizzleConfig } from '../config-file.js'
import { withDrizzleKit } from '../drizzle-kit.js'

export { rules } from '../../lint/check-tables.js'

/** All faults of the tables, the library's and the host's, that can be found without a database. */
export async function checkProject({ own }: Project): Promise<Finding[]> {
  return [...checkTables(platformTables), ...(own === undefined ? [] : await checkOwn(own))]
}

async function checkOwn(own: OwnProject): Promise<Finding[]> {
  const { definitions, exceptRules } = own
  return [
    ...checkTables(definitions, { except: exceptRules }),
    ...checkNames(own),
    ...checkSchemas(own),
    ...checkPermissions(own),
    ...(await checkDrizzleConfig(own)),
    ...(await checkGenerated(own)),
  ]
}

function checkNames({ definitions }: OwnProject): Finding[] {
  return takenNames(library, definitions).map((name) => ({
    rule: 'export-name',
    table: '',
    message: `tenantry/schema has an export named ${name} too. Export yours under another name.`,
  }))
}

/** What openTenancy would refuse. */
const checkPermissions = ({ definitions, permissions }: OwnProject): Finding[] =>
  uncoveredTables(ownTablesOf(definitions), permissions).map((uncovered) => ({
    rule: 'permission',
    table: uncovered.table,
    message: `${uncoveredText(uncovered)}.`,
  }))

/** drizzle-kit creates the schemas that the module exports. A table has only the name of its schema. */
function checkSchemas({ definitions, exceptRules }: OwnProject): Finding[] {
  const rule = 'schema-export'
  if (exceptRules.includes(rule)) return []
  const exported = Object.values(definitions)
  const created = new Set(exported.filter(isPgSchema).map(({ schemaName }) => schemaName))
  const used = ownTablesOf(definitions).map((table) => getTableConfig(table).schema)
  return [...new Set(used)]
    .filter((name) => name !== undefined && !created.has(name))
    .map((name) => ({
      rule,
      table: '',
      message: `The schema ${name} is not exported, so drizzle-kit writes no CREATE SCHEMA for it. Add \`export const ${name} = pgSchema('${name}')\`; if something else creates the schema, add '${rule}' to exceptRules.`,
    }))
}

/** Where the two configs differ, drizzle-kit would write or apply other migrations than tenantry. */
async function checkDrizzleConfig({ file, drizzleConfig, set }: OwnProject): Promise<Finding[]> {
  if (!existsSync(drizzleConfig)) return []
  const { folder, bookkeeping } = await readDrizzleConfig(drizzleConfig)
  const differs = (what: string, theirs: string, ours: string) => ({
    rule: 'drizzle-config',
    table: '',
    message: `${drizzleConfig} has ${what} ${theirs}, and ${file} has ${ours}. Make them the same: the tables of your migrations are where ${file} says.`,
  })
  return [
    ...(folder === set.folder ? [] : [differs('out', folder, set.folder)]),
    ...(isDeepStrictEqual(bookkeeping, set.bookkeeping)
      ? []
      : [differs('migrations', JSON.stringify(bookkeeping), JSON.stringify(set.bookkeeping))]),
  ]
}

async function checkGenerated({ definitions, set: { folder } }: OwnProject): Promise<Finding[]> {
  const { ungeneratedChanges } = await withDrizzleKit(() => import('../../migrations/generation/definitions.js'))
  return (await ungeneratedChanges(definitions, folder)).map((change) => ({
    rule: 'generated',
    table: '',
    message: `${change}. Run \`tenantry migrate new --name ...\`; the folder is ${folder}.`,
  }))
}
