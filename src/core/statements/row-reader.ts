interface ReadColumn {
  readonly property: string
  readonly decode: ((value: unknown) => unknown) | undefined
}

type Values = readonly unknown[]
type Row = Record<string, unknown>

type Compile = (decoders: readonly ReadColumn['decode'][]) => (values: Values) => Row

/**
 * Makes rows of what the executor gives. The properties come in the same order every time, so that all rows have one shape. It is
 * compiled, for a loop over the columns takes ten times as long; where the process may not compile, it is the loop.
 */
export function rowReader(columns: readonly ReadColumn[]): (values: Values) => Row {
  const decoders = columns.map(({ decode }) => decode)
  const fields = columns.map(({ property, decode }, index) => {
    // Written plainly it would not be a property; computed, all of them would take twice as long.
    const key = property === '__proto__' ? '["__proto__"]' : JSON.stringify(property)
    return `${key}: ${decode === undefined ? `values[${index}]` : `decoders[${index}](values[${index}])`}`
  })
  try {
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- names of columns, as the table declares them
    const compile = new Function('decoders', `return (values) => ({ ${fields.join(', ')} })`) as Compile
    return compile(decoders)
  } catch {
    return (values) =>
      Object.fromEntries(
        columns.map(({ property, decode }, index) => [property, decode ? decode(values[index]) : values[index]]),
      )
  }
}
