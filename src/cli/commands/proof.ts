import type { ProofFault } from '../../core/errors.js'
import { type AddCommand, usageOf } from '../command.js'
import { otherConfig, strayedWarnings } from '../migration-sets.js'
import { exit } from '../report.js'
import { loginsPlace } from '../sessions.js'

export const addProof: AddCommand = (program, run) =>
  program.command(
    'proof',
    'Proves that a login is safe for the application to use',
    (command) =>
      command
        .usage(
          usageOf(
            'proof',
            'Connects as the login of the application and checks what openTenancy checks: the login',
            'reaches its one role and nothing else, row security and every right are as declared, every migration',
            'is applied. Prints each fault with the command that mends it. Ends with 3 when it finds a fault.',
            'Applied migrations that the nearest tenantry.config.ts does not name are reported as notes, which',
            'do not change the exit code.',
          ),
        )
        .option('system', {
          type: 'boolean',
          default: false,
          describe: "Check the login of the system instead of the application's",
        })
        .option('url', {
          type: 'string',
          requiresArg: true,
          describe: 'The url of the login, instead of the one in the environment',
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
      const project = await context.project()
      const { tables, sets, permissions } = project
      const place = loginsPlace(url, system ? 'SYSTEM_DATABASE_URL' : 'DATABASE_URL', context.env)
      const declarations = await declarationsOf(tables, sets, permissions)
      const role = system ? 'tenantry_system' : 'tenantry_app'
      const { faults, notes } = await context.connected(place, async (session) => {
        const proof = await proveStartup(session, declarations, {
          role,
          ...project.allowed,
        })
        // Only a note: the proof has checked the login's rights on their tables.
        const strayed = await strayedWarnings(session, { project, cwd: context.cwd })
        return { ...proof, notes: [...proof.notes, ...strayed.map(asNote)] }
      })
      return {
        lines: [
          faults.length === 0 ? `This login is safe to use, as ${role}.` : 'This login is not safe to use:',
          ...faults.flatMap(linesOf),
          ...(notes.length === 0 ? [] : ['Notes:', ...notes.flatMap(linesOf)]),
        ],
        document: { role, faults, notes },
        exit: faults.length === 0 ? exit.fine : exit.findings,
      }
    }),
  )

const linesOf = ({ fault, detail, mend }: ProofFault) => [
  `- ${fault}${detail === '' ? '' : `: ${detail}`}`,
  `  mend: ${mend}`,
]

const asNote = (strayed: string): ProofFault => ({
  fault: 'the config does not name all applied migrations',
  detail: strayed,
  mend: otherConfig,
})
