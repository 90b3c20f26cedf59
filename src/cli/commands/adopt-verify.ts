import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Before } from '../../adoption/before.js'
import type { DifferentRange, Verified, VerifiedTable } from '../../adoption/verify.js'
import { InvalidInputError } from '../../core/errors.js'
import { type AddCommand, asOwner, type Context, connecting, usageOf } from '../command.js'
import { withBar } from '../progress.js'
import { counted, exit, type Report } from '../report.js'
import { embeddedDirectory } from '../system-login.js'

const file = 'tenantry.adopt.before.json'

export const addVerify: AddCommand = (program, run) =>
  program.command(
    'verify',
    'Proves that no row lost or changed a value since before',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'adopt verify',
            `Run it with --before when the adoption has not begun: it hashes all rows of a schema and writes ${file} into this`,
            'folder. Without --before it hashes the same columns again, compares, and ends with 3 when a row is lost, doubled or has',
            'another value, or when a table or a column is missing. New columns, another primary key, row security and a move of rows',
            'on the disk change nothing. Rows in quarantine count as rows of their table. It reads every table once, in one read-only',
            'snapshot, and changes nothing in the database: do not migrate meanwhile.',
            '\n\nRows are compared in ranges of 10,000, in the order of the primary key, and a range that differs is told with its first and',
            'last key. The application may write meanwhile: each snapshot is exact, so that a range of old rows that nobody touched is',
            'equal. A range that differs has been written to, in its old rows or by new rows between them: look whether your application',
            'did. Rows below the first and above the last key are new, and only counted.',
            `\n\n${file} holds the first and the last primary key of each range, and no other value. Keep it until the end.`,
          ),
        )
        .option('before', {
          type: 'boolean',
          default: false,
          describe: `Write ${file}: before the adoption begins`,
        })
        .option('schema', {
          type: 'string',
          requiresArg: true,
          describe: 'The schema of the tables. Default: public, and without --before the one in the file',
        })
        .option('dry-run', {
          type: 'boolean',
          default: false,
          describe: `With --before: print what would be hashed, and do not write ${file}`,
        })
        .example('$0 adopt verify --before', 'hashes the tables in the schema public')
        .example('$0 adopt verify', 'compares them with that'),
    run(async (args, context) => {
      if (args.embedded !== undefined) embeddedDirectory(context.cwd, args.embedded)
      if (args.before) return before(context, args)
      if (args.dryRun) throw new InvalidInputError('--dry-run', 'is for --before: without it no file is written')
      const { readBefore } = await import('../../adoption/before.js')
      const { verify } = await import('../../adoption/verify.js')
      const path = resolve(context.cwd, file)
      const given = await readBefore(path)
      if (args.schema !== undefined && args.schema !== given.schema)
        throw new InvalidInputError('--schema', `is ${args.schema}, and ${path} is about the schema ${given.schema}`)
      const verified = await asOwner(context, args, (session) =>
        withBar(context.console, 'reading tables', (onProgress) => verify(session, given, onProgress)),
      )
      return { lines: linesOf(verified), document: verified, exit: verified.isEqual ? exit.fine : exit.findings }
    }),
  )

async function before(
  context: Context,
  args: { readonly schema: string | undefined; readonly dryRun: boolean; readonly embedded: string | undefined },
): Promise<Report> {
  const { takeBefore } = await import('../../adoption/verify.js')
  const path = resolve(context.cwd, file)
  if (!args.dryRun && existsSync(path))
    throw new InvalidInputError(
      path,
      'is there already. While an adoption is under way it is the only proof of what was there before: keep it. Otherwise delete it, and run this again',
    )
  const found = await asOwner(context, args, (session) =>
    withBar(context.console, 'reading tables', (onProgress) =>
      takeBefore(session, args.schema ?? 'public', onProgress),
    ),
  )
  // `wx`: another one that was written meanwhile stays.
  if (!args.dryRun) await writeFile(path, `${JSON.stringify(found, undefined, 2)}\n`, { flag: 'wx' })
  return { lines: beforeLines(found, args.dryRun), document: found }
}

const beforeLines = ({ tables, leftOut }: Before, isDryRun: boolean): string[] => [
  ...tables.map(({ name, ranges }) => {
    const rows = ranges.reduce((sum, range) => sum + range.rows, 0)
    return `${name}  ${counted(rows, 'row')} in ${counted(ranges.length, 'range')}`
  }),
  ...leftOut.map(leftOutLine),
  '',
  isDryRun ? `Not written: ${file}` : `Written: ${file}. Keep it until the adoption is done.`,
]

const linesOf = ({ tables, leftOut, takenAt, isEqual }: Verified): string[] => [
  ...tables.flatMap(tableLines),
  ...leftOut.map(leftOutLine),
  '',
  isEqual
    ? `No row of before has lost or changed a value since ${takenAt}.`
    : `Something differs from what was there at ${takenAt}.`,
]

const leftOutLine = ({ table, reason }: Before['leftOut'][number]) => `${table}  not compared: ${reason}`

/** With `--json` all are told. */
const rangesShown = 20

function tableLines({ name, isMissing, missingColumns, rowsBefore, ranges, different, newRows }: VerifiedTable) {
  if (isMissing) return [`${name}  is missing, with ${counted(rowsBefore, 'row')}`]
  if (missingColumns.length > 0)
    return [`${name}  not compared, because of missing columns: ${missingColumns.join(', ')}`]
  const head = `${name}  ${counted(rowsBefore, 'row')} in ${counted(ranges, 'range')}`
  const state = different.length === 0 ? 'equal' : `${different.length} differ, ${ranges - different.length} equal`
  return [
    `${head}: ${state}${newRows === 0 ? '' : `; ${counted(newRows, 'new row')}`}`,
    ...different.slice(0, rangesShown).map(rangeLine),
    ...(different.length > rangesShown ? [`  and ${different.length - rangesShown} more: --json tells all`] : []),
  ]
}

function rangeLine({ first, last, rowsBefore, rowsNow }: DifferentRange): string {
  const rows =
    rowsNow === rowsBefore
      ? `${counted(rowsNow, 'row')} before and now`
      : `${counted(rowsBefore, 'row')} before, ${rowsNow} now`
  return `- ${keyWords(first)} to ${keyWords(last)}: ${rows}`
}

const keyWords = (key: readonly string[]) => (key.length === 1 ? key.join('') : JSON.stringify(key))
