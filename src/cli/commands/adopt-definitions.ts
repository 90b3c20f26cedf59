import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import type { DefinitionsModule } from '../../adoption/definitions.js'
import type { WrittenPlan } from '../../adoption/plan-folder.js'
import { stringOf } from '../../adoption/module-names.js'
import { InvalidInputError, MigrationError } from '../../core/errors.js'
import type { Session } from '../../database/session.js'
import type { Finding } from '../../lint/rule.js'
import { type AddCommand, asOwner, type Context, usageOf } from '../command.js'
import { withDrizzleKit } from '../drizzle-kit.js'
import { decisionsFile } from './adopt-analyse.js'
import { assertDirectory, readPlanOf, withFolder } from './adopt-folder.js'

const moduleOption = {
  type: 'string',
  requiresArg: true,
  normalize: true,
  default: 'src/schema.ts',
  describe: 'The file of the definitions, which is not there yet',
} as const

export const addDefinitions: AddCommand = (program, run) =>
  program.command(
    'definitions',
    'Writes the definitions of the adopted tables',
    (command) =>
      withFolder(command)
        .usage(
          usageOf(
            'adopt definitions',
            'Reads the catalog and writes a module of Drizzle definitions, with the helpers of tenantry/schema: of the tables that have',
            `rows of organizations, and of those that ${decisionsFile} calls "shared". Beside it comes the first migration of your own folder.`,
            'It does nothing, since the tables are there, and holds what `tenantry migrate new` compares with. Run it after `adopt',
            'contract`. Changes nothing in the database, and no file that is there. Ends by saying what is left to do, and what',
            '`tenantry check` finds in the tables. Needs drizzle-kit and drizzle-orm, except with --dry-run.',
          ),
        )
        .option('out', moduleOption)
        .option('migrations', {
          ...moduleOption,
          default: 'drizzle',
          describe: 'The folder of your migrations, in which there are none yet',
        })
        .option('dry-run', { type: 'boolean', default: false, describe: 'Print the module, and write no file' })
        .example('$0 adopt definitions', 'writes src/schema.ts and drizzle/0000_adopted.sql')
        .example('$0 adopt definitions --dry-run', 'prints the module'),
    run(async (args, context) => {
      assertDirectory(context, args)
      const plan = await readPlanOf(context, args.folder)
      const out = resolve(context.cwd, args.out)
      const folder = resolve(context.cwd, args.migrations)
      const read = () => asOwner(context, args, (session) => readModule(session, context, plan))
      if (args.dryRun) {
        const { text, sequences } = await read()
        return { lines: [text.trimEnd()], document: { files: [], module: text, allowRelations: sequences } }
      }
      const { refuseMigrations, writeFirstMigration } = await import('../../adoption/first-migration.js')
      if (existsSync(out))
        throw new InvalidInputError('--out', `${out} is there already: name another file, or use --dry-run`)
      await refuseMigrations(folder)
      const { takeSnapshot } = await withDrizzleKit(() => import('../../migrations/generation/snapshot.js'))
      const { text, sequences } = await read()
      const definitions = await writeModule(out, text)
      const files = await writeFirstMigration(folder, takeSnapshot(definitions))
      const written = [args.out, ...files.map((file) => join(args.migrations, file))]
      const { checkTables } = await import('../../lint/check-tables.js')
      const findings = checkTables(definitions)
      const exceptRules = [...new Set(findings.map(({ rule }) => rule))].sort()
      const settings = { exceptRules, allowRelations: sequences }
      return {
        lines: [
          ...written.map((file) => `Written: ${file}`),
          ...findingLines(findings, settings),
          ...(await nextLines(context.cwd, out, folder, settings)),
        ],
        document: { files: written, findings, ...settings },
      }
    }),
  )

/** What the config file has to say beside the paths. */
interface Settings {
  readonly exceptRules: readonly string[]
  readonly allowRelations: readonly string[]
}

async function readModule(session: Session, { cwd }: Context, plan: WrittenPlan): Promise<DefinitionsModule> {
  const { definitionsModule } = await import('../../adoption/definitions.js')
  const { readDecisions } = await import('../../adoption/decisions.js')
  const { statusOf } = await import('../../adoption/run-step.js')
  const { steps } = await statusOf(session, plan)
  const isTaken = (step: string) => steps.some(({ name, state }) => name === step && state === 'applied')
  if (!isTaken('swap'))
    throw new MigrationError('until the swap the tables have their old keys: run tenantry adopt swap first')
  const decisions = await readDecisions(resolve(cwd, decisionsFile), plan.schema)
  const shared = Object.entries(decisions?.tables ?? {}).filter(([, { kind }]) => kind === 'shared')
  return definitionsModule(session, {
    schema: plan.schema,
    tenants: plan.tables.map(({ name }) => name),
    shared: shared.map(([name]) => name),
    droppedIndexes: isTaken('contract') ? [] : plan.droppedIndexes,
  })
}

/** Writes the module and loads it. Leaves no file that cannot be loaded. */
async function writeModule(out: string, text: string): Promise<Record<string, unknown>> {
  const { loadDefinitions } = await import('../config-file.js')
  await mkdir(dirname(out), { recursive: true })
  await writeFile(out, text, { flag: 'wx' })
  try {
    return await loadDefinitions(out)
  } catch (error) {
    await rm(out)
    throw error
  }
}

const listOf = (names: readonly string[]) => `[${names.map(stringOf).join(', ')}]`

function findingLines(findings: readonly Finding[], { exceptRules, allowRelations }: Settings): string[] {
  return [
    ...(findings.length === 0
      ? []
      : [
          '',
          'tenantry check finds in these tables what it would not allow in new ones:',
          ...findings.map(({ rule, message }) => `- ${rule}: ${message}`),
          `Mend it in a later migration, or leave these rules out, in tenantry.config.ts: exceptRules: ${listOf(exceptRules)}`,
        ]),
    ...(allowRelations.length === 0
      ? []
      : [
          '',
          'The application numbers rows from sequences, which are no tables. Name them in tenantry.config.ts, and for openTenancy beside `own`:',
          `allowRelations: ${listOf(allowRelations)}`,
        ]),
  ]
}

async function nextLines(
  cwd: string,
  out: string,
  folder: string,
  { exceptRules, allowRelations }: Settings,
): Promise<string[]> {
  const { findUpwards } = await import('../config-file.js')
  const from = (path: string) => stringOf(`./${relative(cwd, path).split(sep).join('/')}`)
  const isThere = (name: string) => findUpwards(cwd, name) !== undefined
  const config = [
    "import { defineConfig } from 'tenantry'",
    '',
    'export default defineConfig({',
    `  schema: ${from(out)},`,
    `  migrations: ${from(folder)},`,
    ...(exceptRules.length === 0 ? [] : [`  exceptRules: ${listOf(exceptRules)},`]),
    ...(allowRelations.length === 0 ? [] : [`  allowRelations: ${listOf(allowRelations)},`]),
    '})',
  ]
  const kitConfig = [
    "import { defineConfig } from 'drizzle-kit'",
    '',
    'export default defineConfig({',
    "  dialect: 'postgresql',",
    `  schema: ${from(out)},`,
    `  out: ${from(folder)},`,
    "  migrations: { schema: 'app_migrations', table: 'migrations' },",
    '})',
  ]
  return [
    '',
    ...(isThere('tenantry.config')
      ? [`In tenantry.config.ts: schema: ${from(out)}, migrations: ${from(folder)}`]
      : ['Write tenantry.config.ts:', '', ...config, '']),
    ...(isThere('drizzle.config') ? [] : ['Write drizzle.config.ts:', '', ...kitConfig, '']),
    'Then: tenantry check, tenantry migrate up',
  ]
}
