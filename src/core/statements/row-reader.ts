import type { ColumnPlan } from './column-plan.js'

/** The columns that a read returns, and how a row is made of them. */
export interface Selection<Selected> {
  /** Stands in the keys of statements. Empty for a default read. */
  readonly shape: string
  readonly columns: readonly ColumnPlan[]
  /** As they stand behind `select`. */
  readonly sql: string
  readonly readRow: (values: readonly unknown[]) => Selected
}

interface ReadColumn {
  readonly property: string
  readonly decode: ((value: unknown) => unknown) | undefined
}

type Values = readonly unknown[]
type Row = Record<string, unknown>

type Compile = (decoders: readonly ReadColumn['decode'][]) => (values: Values) => Row

/**
 * Makes a row of the executor's values. The properties always have the same order, so that V8 gives all rows one shape. The reader is
 * compiled: a loop over the columns takes ten times as long, and is used only where code generation is forbidden.
 */
export function rowReader(columns: readonly ReadColumn[]): (values: Values) => Row {
  const decoders = columns.map(({ decode }) => decode)
  const fields = columns.map(({ property, decode }, index) => {
    // As a plain key it would set the prototype. Computed keys for all would take twice as long.
    const key = property === '__proto__' ? '["__proto__"]' : JSON.stringify(property)
    return `${key}: ${decode === undefined ? `values[${index}]` : `decoders[${index}](values[${index}])`}`
  })
  try {
    // oxlint-disable-next-line typescript/no-implied-eval -- names of columns, as the table declares them
    const compile = new Function('decoders', `return (values) => ({ ${fields.join(', ')} })`) as Compile
    return compile(decoders)
  } catch {
    return (values) =>
      Object.fromEntries(
        columns.map(({ property, decode }, index) => [property, decode ? decode(values[index]) : values[index]]),
      )
  }
}
