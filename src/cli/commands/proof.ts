import type { RoleFault } from '../../core/errors.js'
import type { Session } from '../../database/session.js'
import type { MigrationSet } from '../../migrations/migrator.js'
import { type AddCommand, usageOf } from '../command.js'
import { exit } from '../report.js'
import { loginsPlace } from '../sessions.js'

export const addProof: AddCommand = (program, run) =>
  program.command(
    'proof',
    'Proves that a login is safe to serve with',
    (command) =>
      command
        .usage(
          usageOf(
            'proof',
            'Connects as the login that will serve and asks what the application asks at its start: the login',
            'reaches its one role and nothing else, row security and every right are as declared, every migration',
            'is applied. Each fault comes with the command that mends it, and the command ends with 3.',
          ),
        )
        .option('system', {
          type: 'boolean',
          default: false,
          describe: 'The login of the system, not of the application',
        })
        .option('url', {
          type: 'string',
          requiresArg: true,
          describe: 'The login, instead of the one of the environment',
        })
        .epilogue(
          [
            'Environment:',
            "  DATABASE_URL         the application's login",
            '  SYSTEM_DATABASE_URL  the login of the system, for --system',
          ].join('\n'),
        )
        .example('$0 proof', 'before the application is started')
        .example('$0 proof --system', 'the same for the login of the system'),
    run(async ({ system, url }, context) => {
      const { proveStartup } = await import('../../access/startup-proof.js')
      const { declarationsOf } = await import('../../migrations/declarations.js')
      const { tables, sets, own } = await context.project()
      const place = loginsPlace(url, system ? 'SYSTEM_DATABASE_URL' : 'DATABASE_URL', context.env)
      const declarations = await declarationsOf(tables, sets)
      const role = system ? 'tenantry_system' : 'tenantry_app'
      const { faults, notes } = await context.connected(place, async (session) => {
        const proof = await proveStartup(session, declarations, {
          role,
          ...(own !== undefined && { allowRelations: own.allowRelations, allowFunctions: own.allowFunctions }),
        })
        return { ...proof, notes: [...proof.notes, ...(await absentNotes(session, sets))] }
      })
      return {
        lines: [
          faults.length === 0
            ? `This login is safe to serve with, as ${role}.`
            : 'This login is not safe to serve with:',
          ...faults.flatMap(linesOf),
          ...(notes.length === 0 ? [] : ['To know:', ...notes.flatMap(linesOf)]),
        ],
        document: { role, faults, notes },
        exit: faults.length === 0 ? exit.fine : exit.findings,
      }
    }),
  )

const linesOf = ({ fault, detail, mend }: RoleFault) => [
  `- ${fault}${detail === '' ? '' : `: ${detail}`}`,
  `  mend: ${mend}`,
]

/** The sets of migrations that the database has and the config has not. Only a note: what the login may do with their tables is proved. */
async function absentNotes(session: Session, sets: readonly MigrationSet[]): Promise<RoleFault[]> {
  const { absentSets } = await import('../../migrations/strayed-sets.js')
  // Where the login may not read the record, the proof has said so.
  const absent = await absentSets(session, sets).catch(() => [])
  return absent.map(({ name, table }) => ({
    fault: 'migrations are not in this config',
    detail: `${name} (${table})`,
    mend: 'run it in the folder of the tenantry.config.ts that has them, or name that file with --config',
  }))
}
