import { MigrationError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { Session } from '../database/session.js'
import { breakpoint } from '../migrations/script.js'
import { type AdoptedSchema, adoptedSchema, constantSlugs } from './adopted-schema.js'
import { analyse } from './analyse.js'
import type { GivenDecisions } from './decisions.js'
import { plannedSource, type PlannedSource, type PlannedTable, plannedTable } from './drift.js'
import { constantKey } from './owners.js'
import { type BackfillEntry, backfillEntries } from './steps/backfill.js'
import { contract, droppedIndexes } from './steps/contract.js'
import { enforce } from './steps/enforce.js'
import { expand } from './steps/expand.js'
import { grants } from './steps/grants.js'
import { observe } from './steps/observe.js'
import { prove } from './steps/prove.js'
import type { Step } from './steps/step.js'
import { swap } from './steps/swap.js'

/** The steps in their order. Between `expand` and `prove` the rows are filled. */
export const stepNames = ['expand', 'prove', 'swap', 'observe', 'enforce', 'contract'] as const
export type StepName = (typeof stepNames)[number]

/** How a schema is brought under organizations. */
export interface Plan {
  readonly schema: string
  readonly home: string
  readonly tables: readonly PlannedTable[]
  readonly steps: Readonly<Record<StepName, Step>>
  readonly backfill: readonly BackfillEntry[]
  /** The indexes that end with `contract`. */
  readonly droppedIndexes: readonly string[]
  readonly sources: readonly PlannedSource[]
}

const writers: Readonly<Record<StepName, (adopted: AdoptedSchema) => Step>> = {
  expand,
  prove,
  swap,
  observe: (adopted) => inTurn(grants(adopted), observe(adopted)),
  enforce,
  contract,
}

const inTurn = (first: Step, second: Step): Step => ({
  up: [...first.up, ...second.up],
  down: [...second.down, ...first.down],
})

/** Analyses the schema again, and writes the steps. Throws while something is undecided or has to be mended. Changes nothing. */
export async function plan(
  session: Session,
  given: GivenDecisions,
  onProgress?: Parameters<typeof analyse>[3],
): Promise<Plan> {
  const { schema } = given
  await assertMigrated(session)
  const { found, decided, catalog } = await analyse(session, schema, given, onProgress)
  refuse(found.findings.filter(({ needs }) => needs !== 'attention').map(({ message }) => message))
  const adopted = adoptedSchema(catalog, decided, await idsOf(session, schema, constantSlugs(decided)))
  refuse(
    adopted.tables
      .filter(({ table }) => table.isAdopted)
      .map(({ name }) => `the rows of ${name} have organizations of tenantry already: give it the kind "left"`),
  )
  const steps = Object.fromEntries(stepNames.map((name) => [name, writers[name](adopted)])) as Plan['steps']
  if (Object.values(steps).some(({ up, down }) => [...up, ...down].some((text) => text.includes(breakpoint))))
    refuse([`a name or a definition contains "${breakpoint}", which separates the statements of a file: change it`])
  return {
    schema,
    home: adopted.home,
    tables: adopted.tables.map(plannedTable),
    steps,
    backfill: backfillEntries(adopted),
    droppedIndexes: droppedIndexes(adopted),
    sources: adopted.sources.map(plannedSource),
  }
}

function refuse(reasons: readonly string[]): void {
  if (reasons.length > 0)
    throw new MigrationError(['There is no plan yet:', ...reasons.map((one) => `- ${one}`)].join('\n'))
}

/** The ids of the organizations that an earlier adoption has made for these slugs, or that have them, and new ones for the others. */
async function idsOf(session: Session, schema: string, slugs: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const known = await session.query<{ slug: string; id: string }>(
    `select w.slug, o.id from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) w(slug, key)
     join platform.organizations o on o.provision_key = w.key or (o.slug = w.slug and o.deleted_at is null)
     order by o.provision_key is not distinct from w.key`,
    [slugs, slugs.map((slug) => constantKey(schema, slug))],
  )
  const ids = new Map(known.map(({ slug, id }) => [slug, id]))
  return new Map(slugs.map((slug) => [slug, ids.get(slug) ?? newId()]))
}

async function assertMigrated(session: Session): Promise<void> {
  const [row] = await session.query<{ found: boolean }>(
    `select pg_catalog.to_regclass('platform.organizations') is not null as found`,
  )
  if (row?.found !== true)
    throw new MigrationError('the tables of tenantry are not in this database yet: run tenantry migrate up first')
}
