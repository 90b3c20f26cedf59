import type { Catalog, CatalogTable } from './catalog.js'
import { wordsIn } from './counts.js'
import { completeDecision, type GivenDecisions, type Organizations, type TableDecision, type Way } from './decisions.js'
import { Owners } from './owners.js'
import type { Reader } from './read-only.js'
import { columnWays, isBookkeeping, parentWays, polymorphicPairs, rootOf, rowWays, tableMeant } from './ways.js'

/** What is decided and what is proposed, together. */
export interface Proposals {
  readonly tables: Readonly<Record<string, TableDecision>>
  /** All ways that were found when a table got its way, the best one first. */
  readonly ways: ReadonlyMap<string, readonly Way[]>
}

/**
 * Proposes a way for each table that nobody has decided: a column of its own, or else the shortest path over foreign keys that are never null,
 * over other foreign keys and words, or over names, to a table that has a way.
 */
export async function propose(
  session: Reader,
  catalog: Catalog,
  organizations: Organizations,
  given: GivenDecisions['tables'],
): Promise<Proposals> {
  // Without a prototype: a table may be called `constructor`.
  const tables = Object.create(null) as Record<string, TableDecision>
  const parts = new Map(Object.entries(given))
  for (const [name, part] of parts) {
    const complete = completeDecision(part)
    if (complete !== undefined) tables[name] = complete
  }
  const ways = new Map<string, readonly Way[]>()
  const root = rootOf(organizations)
  const open = () => catalog.tables.filter(({ name }) => tables[name] === undefined)
  const add = (found: readonly (readonly [table: string, ways: readonly Way[]])[]) => {
    for (const [name, [way, ...others]] of found) {
      if (way === undefined) continue
      ways.set(name, [way, ...others])
      tables[name] = { ...parts.get(name), kind: 'tenant', way }
    }
  }
  for (const { name, foreignKeys } of open())
    if (isBookkeeping(name) && foreignKeys.length === 0 && !parts.has(name)) tables[name] = { kind: 'left' }
  if (root === undefined) {
    add(open().map(({ name }) => [name, ['constant']]))
    return { tables, ways }
  }
  tables[root.table] ??= { kind: 'organizations' }
  add(open().map((table) => [table.name, columnWays(table, root, catalog)]))
  const words = await wordsOf(session, catalog, open())
  const hasWay = (name: string) => tables[name]?.kind === 'tenant' || name === root.table
  const surely = (table: CatalogTable): Way[] => {
    const byWord = wayByWord(words.get(table.name), hasWay)
    return [...parentWays(table, catalog.schema, hasWay), ...(byWord === undefined ? [] : [byWord])]
  }
  const always = (table: CatalogTable): Way[] =>
    parentWays(table, catalog.schema, hasWay, true).length > 0 ? surely(table) : []
  const byName = (table: CatalogTable): Way[] => rowWays(table, catalog, hasWay)
  // Each round adds the tables that are one step further away. A way that may end at null counts where none leads on that never does, and
  // what a name alone tells where nothing else leads on.
  for (;;) {
    const found = [always, surely, byName]
      .map((waysOf) => open().map((table) => [table.name, waysOf(table)] as const))
      .find((all) => all.some(([, some]) => some.length > 0))
    if (found === undefined) break
    add(found)
  }
  // A way to them is still to be named.
  for (const { name } of open())
    if (parts.get(name)?.kind === 'tenant') tables[name] = { ...parts.get(name), kind: 'tenant' }
  return { tables, ways }
}

/** A pair of columns, and what each of its words means. */
interface Words {
  readonly type: string
  readonly id: string
  readonly meant: readonly (readonly [word: string, table: CatalogTable | undefined])[]
}

async function wordsOf(
  session: Reader,
  catalog: Catalog,
  tables: readonly CatalogTable[],
): Promise<ReadonlyMap<string, Words>> {
  const owners = new Owners(catalog, { version: 1, schema: catalog.schema, organizations: null, tables: {} })
  const all = new Map<string, Words>()
  for (const table of tables) {
    const [pair, ...more] = polymorphicPairs(table)
    if (pair === undefined || more.length > 0 || table.form === 'foreign') continue
    // One that cannot be read stays undecided.
    const words = await wordsIn(session, owners, table, pair.type).catch(() => [])
    all.set(table.name, { ...pair, meant: words.map((word) => [word, tableMeant(word, catalog)]) })
  }
  return all
}

/** Undefined where a word means no table, or one without a way or without a key of one column. */
function wayByWord(words: Words | undefined, hasWay: (table: string) => boolean): Way | undefined {
  if (words === undefined || words.meant.length === 0) return undefined
  const { type, id, meant } = words
  const known = meant.flatMap(([word, table]) =>
    table?.primaryKey.length === 1 && hasWay(table.name) ? [[word, table.name] as const] : [],
  )
  if (known.length < meant.length) return undefined
  const tables = Object.fromEntries(known)
  return { polymorphic: { type, id, tables } }
}
