import { Secret } from '../../schema/shared/secret.js'
import { DefinitionError, InvalidInputError } from '../errors.js'
import type { Call } from '../executor.js'
import type { Planned, Unplanned } from '../planned.js'
import type { CellToSeal, Rules } from '../rules.js'
import type { Values } from '../values.js'
import type { TablePlan } from './table-plan.js'
import type { Target } from './target.js'

/** A row with the id that its secrets are sealed for. */
export type RowToSeal = Values & { readonly id: string }

export const hasSecret = ({ sealed }: TablePlan, values: Values): boolean =>
  sealed.size > 0 && Object.keys(values).some((name) => sealed.has(name))

/** Throws DefinitionError for a secret in a change of many rows: a ciphertext belongs to one row. */
export function assertNoSecret(plan: TablePlan, values: Values): void {
  for (const name of Object.keys(values)) {
    if (!plan.sealed.has(name) || (values[name] ?? null) === null) continue
    throw new DefinitionError(`${plan.resource}.${name} is sealed for one row: change the rows one by one`)
  }
}

/** `plan` gets the rows with ciphertexts in place of their secrets, and the calls to send in front of the write. */
export function planSealed<T>(
  target: Target<unknown>,
  rules: Rules,
  rows: readonly RowToSeal[],
  plan: (rows: readonly Values[], before: readonly Call[]) => Planned<T>,
): Planned<T> | Unplanned<T> {
  const cells = rows.flatMap((row, index) =>
    secretsOf(target.plan, row).map(({ property, cell }) => ({ index, property, cell })),
  )
  // A column that is emptied needs no key.
  if (cells.length === 0) return plan(rows, [])
  const sealing = { orgId: orgOf(target), cells: cells.map(({ cell }) => cell) }
  const again = (): Unplanned<T> => {
    const steps = rules.seal(sealing)
    return {
      ask: steps.ask,
      async plan(answer) {
        const { values, before } = await steps.seal(answer)
        const sealed = rows.map((row): Record<string, unknown> => ({ ...row }))
        cells.forEach(({ index, property }, place) => {
          Object.assign(sealed[index] ?? {}, { [property]: values[place] })
        })
        return { ...plan(sealed, before), again }
      },
    }
  }
  return again()
}

/** The organization whose key seals the rows. */
export function orgOf({ plan, owner }: Target<unknown>): string {
  const [orgId] = owner
  if (plan.owner?.kind === 'org' && orgId !== undefined) return orgId
  throw new DefinitionError(`${plan.resource}: only rows of an organization can have sealed columns`)
}

function secretsOf(plan: TablePlan, row: RowToSeal): { property: string; cell: CellToSeal }[] {
  return Object.keys(row).flatMap((property) => {
    const value = row[property] ?? null
    const column = plan.sealed.get(property)
    if (column === undefined || value === null) return []
    const cell = { column, rowId: row.id, text: textOf(property, value) }
    return [{ property, cell }]
  })
}

function textOf(property: string, value: unknown): string {
  const text = value instanceof Secret ? value.reveal() : value
  if (typeof text !== 'string') throw new InvalidInputError(property, 'must be text or a Secret')
  // Half of a surrogate pair would silently become U+FFFD.
  if (!text.isWellFormed()) throw new InvalidInputError(property, 'contains half of a surrogate pair')
  return text
}
