import { createHash } from 'node:crypto'
import type { Session } from '../../src/database/session.js'
import { type Catalog, type CatalogChoice, type Piece, readCatalog, type TableHead } from './catalog.js'

/** The catalog of some schemas as SQL, for people to read and for CI to compare. Columns are in the order of the table. */
export async function dumpCatalog(session: Session, choice: CatalogChoice): Promise<string> {
  return print(await readCatalog(session, choice))
}

/**
 * sha256 of the same text with the columns sorted by name. When a down file adds a dropped column again, it comes last in its
 * table; a migration cannot change that, and the library does not depend on the order.
 */
export async function fingerprint(session: Session, choice: CatalogChoice): Promise<string> {
  const catalog = await readCatalog(session, choice)
  const columns = [...catalog.columns].sort((a, b) => byText(a.text, b.text))
  return createHash('sha256')
    .update(print({ ...catalog, columns }))
    .digest('hex')
}

// By code unit, not by locale, so that the order is the same everywhere.
const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)

function print(catalog: Catalog): string {
  const belonging = [catalog.indexes, catalog.policies, catalog.triggers, catalog.grants, catalog.comments].map(textsOf)
  const sections = (pieces: readonly Piece[]) =>
    [...pieces]
      .sort((a, b) => byText(a.object, b.object))
      .map(({ object, text }) =>
        [text, ...belonging.flatMap((texts) => (texts.get(object) ?? []).sort(byText))].join('\n'),
      )

  return `${[
    ...sections(catalog.schemas),
    ...sections(catalog.types),
    ...sections(catalog.sequences),
    ...sections(catalog.functions),
    ...sections(tableTexts(catalog)),
    ...sections(catalog.views),
  ].join('\n\n')}\n`
}

function tableTexts(catalog: Catalog): Piece[] {
  const columns = textsOf(catalog.columns)
  const constraints = textsOf(catalog.constraints)
  return catalog.tables.map((table) => {
    const { object, rowSecurity, forced } = table
    const body = [...(columns.get(object) ?? []), ...(constraints.get(object) ?? [])].map((line) => `  ${line}`)
    const text = [
      `CREATE ${table.unlogged ? 'UNLOGGED ' : ''}TABLE ${object} (`,
      body.join(',\n'),
      `)${storage(table)};`,
      ...(rowSecurity ? [`ALTER TABLE ${object} ENABLE ROW LEVEL SECURITY;`] : []),
      ...(forced ? [`ALTER TABLE ${object} FORCE ROW LEVEL SECURITY;`] : []),
    ]
    return { object, text: text.join('\n') }
  })
}

const storage = ({ partitionedBy, options }: TableHead) =>
  (partitionedBy === null ? '' : ` PARTITION BY ${partitionedBy}`) + (options === null ? '' : ` WITH (${options})`)

/** Each object's texts, in the order in which they were read. */
function textsOf(pieces: readonly Piece[]): Map<string, string[]> {
  const texts = new Map<string, string[]>()
  for (const { object, text } of pieces) {
    const known = texts.get(object)
    if (known === undefined) texts.set(object, [text])
    else known.push(text)
  }
  return texts
}
