import { MigrationError } from '../core/errors.js'

/** One parsed SQL file of a migrations folder. */
export interface Script {
  readonly file: string
  /** False when the first line is `-- no-transaction`: then each statement is committed by itself. */
  readonly transactional: boolean
  /** Whether the first line still marks the file as a draft. */
  readonly draft: boolean
  readonly statements: readonly Statement[]
}

export interface Statement {
  readonly text: string
  /** The line of the file on which it begins. */
  readonly line: number
  /** Whether Postgres refuses it inside a transaction. Its form may be repeated after an interruption. */
  readonly alone: boolean
  /** Whether it may add a foreign key. */
  readonly refers: boolean
  /** The index that it builds concurrently. An interrupted build leaves an INVALID one behind. */
  readonly builds?: { readonly index: string; readonly table: string }
}

/** The first line of a generated draft of a down file. Whoever has read the file deletes the line. */
export const draftLine = '-- draft: read every statement, try it on a copy with rows in it, then delete this line'

export const breakpoint = '--> statement-breakpoint'
const leadingComments = /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/

const identifier = String.raw`(?:"(?:[^"]|"")+"|[\w$]+)`
const concurrentBuild = new RegExp(
  String.raw`^create\s+(?:unique\s+)?index\s+concurrently\s+if\s+not\s+exists\s+(${identifier})\s+on\s+(?:only\s+)?(${identifier}(?:\s*\.\s*${identifier})?)`,
  'i',
)
const repeatable = [concurrentBuild, /^drop\s+index\s+concurrently\s+if\s+exists\s/i, /^vacuum\b/i]
const concurrent =
  /^(?:create\s+(?:unique\s+)?index|drop\s+index|reindex\b[^;]*|alter\s+table\b[^;]*\bdetach\s+partition\b[^;]*)\s+concurrently\b/i
const foreignKey = /\breferences\b/i
const transactionControl =
  /^(?:begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|prepare\s+transaction)\b/i

/** Parses a file. Throws for statements that could not be applied as a whole, or not be resumed after an interruption. */
export function parseScript(file: string, sql: string): Script {
  const firstLine = sql.split('\n', 1).join('').trim()
  const transactional = !/^--\s*no-transaction\b/.test(firstLine)
  return {
    file,
    transactional,
    draft: /^--\s*draft\b/.test(firstLine),
    statements: split(sql).map(({ text, line }) => statement(file, transactional, text, line)),
  }
}

/** Each part is one statement. Parts with only comments are left out. */
function split(sql: string): { text: string; line: number }[] {
  let line = 1
  return sql.split(breakpoint).flatMap((part) => {
    const begins = line + lines(part.slice(0, part.length - part.trimStart().length))
    line += lines(part)
    return part.replace(leadingComments, '') === '' ? [] : [{ text: part.trim(), line: begins }]
  })
}

function statement(file: string, transactional: boolean, text: string, line: number): Statement {
  const bare = text.replace(leadingComments, '')
  const refuse = (reason: string) => new MigrationError(`${file}, line ${line}: ${reason}`)
  if (transactionControl.test(bare)) {
    throw refuse(
      'a migration must not begin or end transactions: the migrator runs the file and its record in one transaction',
    )
  }
  const alone = repeatable.some((form) => form.test(bare))
  if (!alone && concurrent.test(bare)) {
    throw refuse(
      'this could not be repeated after an interruption; write `create index concurrently if not exists <name>` or ' +
        '`drop index concurrently if exists <name>`, or leave out CONCURRENTLY',
    )
  }
  if (alone && transactional)
    throw refuse('this cannot run in a transaction; make `-- no-transaction` the first line of the file')
  const [, index, table] = concurrentBuild.exec(bare) ?? []
  return {
    text,
    line,
    alone,
    refers: !alone && foreignKey.test(bare),
    ...(index !== undefined && table !== undefined && { builds: { index, table } }),
  }
}

const lines = (text: string) => text.split('\n').length - 1
