import type { Comparison } from '../../adoption/carrying/compare.js'
import type { Contracted } from '../../adoption/carrying/platform-steps.js'
import type { Proof } from '../../adoption/carrying/proof.js'
import type { UndoPreview } from '../../adoption/carrying/undo-steps.js'
import { counted, exit, type Report } from '../report.js'

export function proofReport({ isProved, tables, unplaced }: Proof, next: string, otherwise: string): Report {
  return {
    lines: [...tables.map(comparisonLine), ...unplaced.map((one) => `- ${one}`), isProved ? next : otherwise],
    document: { isProved, tables, unplaced },
    exit: isProved ? exit.fine : exit.findings,
  }
}

const comparisonLine = ({ name, rows, missing, differing, extra, secrets, sample }: Comparison): string =>
  [
    `${name}  ${counted(rows, 'row')}`,
    ...(missing + differing + extra + secrets === 0 ? ['equal'] : []),
    ...(missing === 0 ? [] : [`${missing} missing`]),
    ...(differing === 0 ? [] : [`${differing} different`]),
    ...(extra === 0 ? [] : [`${extra} that the earlier table has not`]),
    ...(secrets === 0 ? [] : [`${secrets} with another secret`]),
  ].join(', ') + (sample.length === 0 ? '' : `: ${sample.join(', ')}`)

export function contractReport(result: Contracted): Report {
  return {
    lines: [
      ...result.tables.map(({ table, emptied, inClear }) =>
        [
          `${table}  secrets of ${counted(emptied, 'row')} emptied`,
          ...(inClear === 0 ? [] : [`${counted(inClear, 'row')} that stay keep theirs in clear`]),
        ].join(', '),
      ),
      ...(result.statistics.length === 0
        ? []
        : [
            `The statistics of the server still hold secrets of ${result.statistics.join(', ')}: write a row and run \`analyze\` on an empty table; give a column its \`set statistics\` back`,
          ]),
      ...(result.oldStatistics.length === 0
        ? []
        : [
            `Old versions of statistics may still hold secrets: let a superuser or the owner of the database run ${result.oldStatistics.map((one) => `\`${one}\``).join(' and ')} in this database`,
          ]),
      'The platform is carried. Drop the earlier tables when you need them no more.',
    ],
    document: result,
    exit:
      [...result.statistics, ...result.oldStatistics].length > 0 || result.tables.some(({ inClear }) => inClear > 0)
        ? exit.findings
        : exit.fine,
  }
}

export function previewReport({ step, obstacles }: UndoPreview): Report {
  const what = step === undefined ? 'There is nothing to undo.' : `The last step is ${step}.`
  const prevents = 'It is refused, because these rows of tenantry would be lost or are changed:'
  return {
    lines: [what, ...(obstacles.length === 0 ? [] : [prevents, ...obstacles.map((one) => `- ${one}`)])],
    document: { undone: [], step: step ?? null, obstacles },
    exit: obstacles.length === 0 ? exit.fine : exit.findings,
  }
}
