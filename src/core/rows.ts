interface ReadColumn {
  readonly property: string
  readonly decode: ((value: unknown) => unknown) | undefined
}

/** Makes rows of what the executor gives. The properties come in the same order every time, so that all rows have one shape. */
export function rowReader(columns: readonly ReadColumn[]): (values: readonly unknown[]) => Record<string, unknown> {
  const properties = columns.map(({ property }) => property)
  const decoders = columns.map(({ decode }) => decode)
  return (values) => {
    const row: Record<string, unknown> = {}
    for (let index = 0; index < properties.length; index++) {
      const decode = decoders[index]
      row[properties[index] as string] = decode === undefined ? values[index] : decode(values[index])
    }
    return row
  }
}
