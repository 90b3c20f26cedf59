import type { Statement } from '../core/executor.js'
import type { RowShape } from './rows.js'

/** The state of a statement on one connection. */
export interface Prepared {
  readonly statement: Statement
  /** Whether the guard has found that every tenancy may send its text. Several can share a connection. */
  isGuarded: boolean
  /** Whether the server has it: a pipeline that parsed it has succeeded. */
  ready: boolean
  /** The number of the pipeline that is parsing it; 0 for none. Those behind it use it too: if it fails, they find no such statement. */
  parser: number
  /** The columns of its rows. The server answers a named statement with these columns or refuses it (0A000). */
  shape: RowShape | undefined
  /** The number of the last pipeline that used it; 0 for none. The pipeline itself has values and rows, which are not kept. */
  pipeline: number
  lastUse: number
}

/**
 * The named statements of one connection. Each costs the server about 34 KiB, so that beyond the capacity the ones not used for
 * longest are closed. With a capacity of 0 nothing has a name, as a transaction pooler needs it.
 */
export class PreparedStatements {
  private readonly known = new Map<string, Prepared>()
  private uses = 0

  constructor(private readonly capacity: number) {}

  find(statement: Statement): Prepared {
    if (this.capacity === 0 || statement.name === '') return unused({ ...statement, name: '' })
    let prepared = this.known.get(statement.name)
    if (prepared === undefined) {
      prepared = unused(statement)
      this.known.set(statement.name, prepared)
    } else if (prepared.statement.text !== statement.text) {
      throw new Error(`the name ${statement.name} stands for two statements`)
    }
    prepared.lastUse = ++this.uses
    return prepared
  }

  /** Forgets the oldest beyond the capacity, except those of the pipeline, and returns their names. */
  trim(pipeline: number): string[] {
    const excess = this.known.size - this.capacity
    if (excess <= 0) return []
    const oldest = [...this.known.values()]
      .filter((prepared) => prepared.pipeline !== pipeline)
      .sort((a, b) => a.lastUse - b.lastUse)
      .slice(0, excess)
      .map((prepared) => prepared.statement.name)
    for (const name of oldest) this.known.delete(name)
    return oldest
  }

  /** Makes each statement be closed and parsed again when it is next used: the server lost them, or refuses their plans. */
  forget(): void {
    for (const prepared of this.known.values()) prepared.ready = false
  }
}

const unused = (statement: Statement): Prepared => ({
  statement,
  isGuarded: false,
  ready: false,
  parser: 0,
  shape: undefined,
  pipeline: 0,
  lastUse: 0,
})
