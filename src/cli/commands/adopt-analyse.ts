import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Analysis, FoundTable } from '../../adoption/analyse.js'
import type { Finding } from '../../adoption/findings.js'
import type { Way } from '../../adoption/decisions.js'
import { type AddCommand, asOwner, connecting, usageOf } from '../command.js'
import { withBar } from '../progress.js'
import { counted, exit } from '../report.js'
import { embeddedDirectory } from '../system-login.js'

export const decisionsFile = 'tenantry.adopt.json'

export const addAnalyse: AddCommand = (program, run) =>
  program.command(
    'analyse',
    'Finds how each row of a schema leads to its organization',
    (command) =>
      connecting(command)
        .usage(
          usageOf(
            'adopt analyse',
            `Reads the catalog and the rows of a schema, changes nothing in the database, and writes ${decisionsFile} into this folder: for`,
            'each table how a row leads to its organization, and what stands in the way. Decide there what is not decided, and run',
            'it again: your decisions stay. Every table is read once to count its rows, and again for each of its foreign keys and for much',
            'else that is counted, so use a replica or a quiet hour for large ones. Ends with 3 while a table is undecided or something has to be mended.',
          ),
        )
        .option('schema', {
          type: 'string',
          requiresArg: true,
          default: 'public',
          describe: 'The schema of the tables',
        })
        .option('dry-run', {
          type: 'boolean',
          default: false,
          describe: `Print what was found, and do not write ${decisionsFile}`,
        })
        .example('$0 adopt analyse', 'the tables in the schema public')
        .example('$0 adopt analyse --schema shop --dry-run', 'those in shop, and no file is written'),
    run(async (args, context) => {
      const { analyse } = await import('../../adoption/analyse.js')
      const { readDecisions } = await import('../../adoption/decisions.js')
      if (args.embedded !== undefined) embeddedDirectory(context.cwd, args.embedded)
      const path = resolve(context.cwd, decisionsFile)
      const given = await readDecisions(path, args.schema)
      const analysis = await asOwner(context, args, (session) =>
        withBar(context.console, 'reading tables', (onProgress) => analyse(session, args.schema, given, onProgress)),
      )
      const document = { ...analysis.decisions, found: analysis.found }
      if (!args.dryRun) await writeFile(path, `${JSON.stringify(document, undefined, 2)}\n`)
      return {
        lines: [...linesOf(analysis), ...(args.dryRun ? [] : [`Written: ${decisionsFile}`])],
        document,
        exit: analysis.found.findings.some(({ needs }) => needs !== 'attention') ? exit.findings : exit.fine,
      }
    }),
  )

function linesOf({ found: { tables, findings } }: Analysis): string[] {
  const needed = (needs: Finding['needs'], title: string) => {
    const those = findings.filter((finding) => finding.needs === needs)
    return those.length === 0 ? [] : ['', title, ...those.flatMap(findingLines)]
  }
  return [
    ...Object.entries(tables).map(([name, table]) => `${name}  ${describe(table)}`),
    ...needed('decision', `To decide, in ${decisionsFile}:`),
    ...needed('mend', 'To mend in the database:'),
    ...needed('attention', 'To know:'),
    ...lockLines(tables),
    '',
  ]
}

/** The size of each table, and how long the steps hold it. */
function lockLines(tables: Analysis['found']['tables']): string[] {
  const sizes = Object.entries(tables).flatMap(([name, { bytes, rows = 0, locks = [] }]) => {
    const proving = locks.find(({ step }) => step === 'prove')?.ms
    if (proving === undefined || proving === null) return []
    return [`${name}  ${sizeText(bytes)}, ${counted(rows, 'row')}: prove reads it for about ${timeText(proving)}`]
  })
  if (sizes.length === 0) return []
  return [
    '',
    'Locks:',
    ...sizes,
    'In prove others read and write meanwhile: constraints are validated, and indexes are built concurrently. Rows that are put aside are locked',
    'until all of them have moved. backfill locks the rows of a batch for at most 200 ms. In expand, swap, observe, enforce and contract only the catalog changes: each statement keeps everybody out of its table',
    'for milliseconds, once it has the lock, and waits for that no longer than --lock-timeout says.',
  ]
}

const sizeText = (bytes: number): string =>
  bytes < 1024 ** 2
    ? `${Math.round(bytes / 1024)} kB`
    : bytes < 1024 ** 3
      ? `${Math.round(bytes / 1024 ** 2)} MB`
      : `${(bytes / 1024 ** 3).toFixed(1)} GB`

const timeText = (ms: number): string =>
  ms < 1000 ? `${ms} ms` : ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`

function describe({ kind, way, isProposed, rows }: FoundTable): string {
  if (kind === undefined) return 'undecided'
  return [
    `${kind}${way === undefined ? '' : ` ${wayText(way)}`}`,
    ...(isProposed ? ['proposed'] : []),
    ...(rows === undefined ? [] : [counted(rows, 'row')]),
  ].join(', ')
}

function wayText(way: Way): string {
  if (way === 'constant') return 'of the one organization'
  if ('column' in way) return `by ${way.column}`
  if ('mapped' in way) return `by ${way.mapped.column}, which holds ${way.mapped.to} of the organization`
  if ('parent' in way) return `by the foreign key ${way.parent}`
  if ('row' in way) return `by ${way.row.column}, which holds a key of ${way.row.of}`
  if ('either' in way) return way.either.map(wayText).join(', or else ')
  return `by ${way.polymorphic.type} and ${way.polymorphic.id}`
}

function findingLines({ message, rows }: Finding): string[] {
  if (rows === undefined) return [`- ${message}`]
  const sample = rows.sample.map((key) => (typeof key === 'string' ? key : JSON.stringify(key))).join(', ')
  return [
    `- ${message}`,
    `  ${counted(rows.count, 'row')}${rows.count > rows.sample.length ? ', such as' : ':'} ${sample}`,
  ]
}
