import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import type { Session } from '../../database/session.js'
import { shapeFindings } from './analyse-platform.js'
import { alone, type Carrying } from './carrying.js'
import { type CarryingStep, isMarked, takenSteps } from './carrying-home.js'
import { findEarlierPlatform } from './earlier-platform.js'
import { inHome } from '../home.js'
import { differenceOf, findWatched, type Form, formOf } from './watch.js'
import type { CarriedTable } from './carried-table.js'

/** The tables that can be carried. */
export const withShape = (tables: Carrying['tables']): Carrying['tables'] =>
  tables.filter((table) => shapeFindings(table).length === 0)

/** What became of the earlier tables since `expand`. */
interface Shapes {
  /** The tables of this carrying: those watched since `expand`; before it, every table of a fitting shape. */
  readonly carried: Carrying['tables']
  /** What makes that rows would be carried in another way, or not at all. */
  readonly changed: readonly string[]
  readonly dropped: readonly string[]
  /** Tables that fit only since `expand`. They have no triggers, so their writes were not noted. */
  readonly added: readonly string[]
}

async function shapesOf(
  session: Session,
  home: string,
  tables: Carrying['tables'],
  isExpanded: boolean,
): Promise<Shapes> {
  const fit = withShape(tables)
  if (!isExpanded) return { carried: fit, changed: [], dropped: [], added: [] }
  const watched = await session.query<{ name: string; form: string }>(
    `select table_name as name, form from ${inHome(home, 'watched')} order by table_name`,
  )
  const leaves = await session.query<{ name: string }>(`select table_name as name from ${inHome(home, 'leaves')}`)
  const places = await findWatched(session, home)
  const isOneOf = (names: readonly { readonly name: string }[]) => (table: CarriedTable) =>
    names.some(({ name }) => name === table.from.name)
  const gone = watched.filter((one) => !tables.some(isOneOf([one])))
  return {
    carried: fit.filter(isOneOf(watched)),
    changed: [
      ...tables.filter(isOneOf(watched)).flatMap((table) => shapeFindings(table).map(({ message }) => message)),
      ...watched
        .filter((one) => fit.some(isOneOf([one])))
        .flatMap(({ name, form }) => {
          const difference = differenceOf(JSON.parse(form) as Form, formOf(fit, name))
          return difference === undefined ? [] : [`${name} ${difference}`]
        }),
      ...watched
        .filter((one) => !places.has(one.name) && tables.some(isOneOf([one])))
        .map(({ name }) => `${name} was made anew, or lost its trigger, so that its writes are not noted`),
      ...gone.filter(({ name }) => places.has(name)).map(({ name }) => `${name} is ${places.get(name) ?? ''} by now`),
    ],
    dropped: gone.map(({ name }) => name).filter((name) => !places.has(name)),
    added: fit.filter((table) => !isOneOf([...watched, ...leaves])(table)).map(({ from }) => from.name),
  }
}

/** Whether every earlier table is there in the form that it had at `expand`. */
export const isUnchanged = ({ changed, dropped }: Shapes): boolean => changed.length + dropped.length === 0

/** Refuses backfill, prove and swap if a table was changed, dropped or added. */
export function assertSameTables(shapes: Shapes): void {
  assertNoneDropped(shapes)
  if (shapes.added.length > 0)
    throw new MigrationError(
      `${shapes.added.join(', ')} can be carried since expand was taken, so that their writes were not noted: leave them with expand --leave, or undo expand with tenantry adopt platform down and take it again`,
    )
}

/** Refuses the way back to secrets in clear and to the earlier tables if one of them was changed or dropped: its rows would be lost. */
export function assertNoneDropped(shapes: Shapes): void {
  assertSameShapes(shapes)
  if (shapes.dropped.length > 0)
    throw new MigrationError(
      `earlier tables are gone since expand: ${shapes.dropped.join(', ')}. Make them again with their columns; before the swap you can also go back with tenantry adopt platform down`,
    )
}

/** Refuses `contract` if a table was changed. The secrets of a dropped one are gone. */
export function assertSameShapes({ changed }: Shapes): void {
  if (changed.length > 0)
    throw new MigrationError(
      [
        'Earlier tables have changed since expand, so that rows would be carried in another way, or not at all:',
        ...changed.map((one) => `- ${one}`),
        'Change them back; before the swap you can also go back with tenantry adopt platform down',
      ].join('\n'),
    )
}

interface Order {
  /** The step that must be taken. */
  readonly after?: CarryingStep
  /** The step that must not. */
  readonly before?: CarryingStep
}

/** Runs a step while no other one runs. Checks the earlier steps under the lock: another session may have just finished one. */
export async function step<T>(
  session: Session,
  schema: string,
  dataKeys: DataKeys,
  { after, before }: Order,
  work: (carrying: Carrying, shapes: Shapes) => Promise<T>,
): Promise<T> {
  const { home, tables } = await findEarlierPlatform(session, schema)
  return alone(session, home, async () => {
    const taken = await takenSteps(session, home)
    if (after !== undefined && !taken.includes(after))
      throw new MigrationError(`${after} comes first, and is not complete: run tenantry adopt platform ${after}`)
    if (before !== undefined && taken.includes(before))
      throw new MigrationError(`${before} is taken already: undo it with tenantry adopt platform down`)
    if (before !== undefined && after !== undefined && (await isMarked(session, home, 'closing')))
      throw new MigrationError(
        `${before} is half taken: finish it with tenantry adopt platform ${before}, or undo it with tenantry adopt platform down`,
      )
    const shapes = await shapesOf(session, home, tables, taken.includes('expand'))
    return work({ session, home, tables: shapes.carried, dataKeys }, shapes)
  })
}
