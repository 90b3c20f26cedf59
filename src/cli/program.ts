import { readFile } from 'node:fs/promises'
import yargs, { type Argv } from 'yargs'
import { InvalidInputError, TenantryError } from '../core/errors.js'
import { addAdopt } from './commands/adopt.js'
import { addAudit } from './commands/audit.js'
import { addBootstrap } from './commands/bootstrap.js'
import { addCheck } from './commands/check.js'
import { addDistribute } from './commands/distribute.js'
import { contextOf, type GlobalOptions, type Host, type Run } from './command.js'
import { withoutPasswords } from './console.js'
import { addKey } from './commands/key.js'
import { addKeys } from './commands/keys.js'
import { addLogin } from './commands/login.js'
import { addMaintain } from './commands/maintain.js'
import { addMigrate } from './commands/migrate.js'
import { addOrg } from './commands/org.js'
import { addPartitions } from './commands/partitions.js'
import { addProof } from './commands/proof.js'
import { exit, type ExitCode } from './report.js'
import { addTenant } from './commands/tenant.js'
import { addSeed } from './commands/seed.js'

const commands = [
  addMigrate,
  addBootstrap,
  addLogin,
  addCheck,
  addProof,
  addSeed,
  addOrg,
  addKey,
  addAudit,
  addKeys,
  addPartitions,
  addMaintain,
  addDistribute,
  addTenant,
  addAdopt,
]

/** Runs one command line, and returns the exit code. */
export async function runProgram(argv: readonly string[], host: Host): Promise<ExitCode> {
  let code: ExitCode = exit.fine
  const run: Run = (work) => async (args) => {
    const context = contextOf(host, args)
    const { lines, document, exit: found = exit.fine } = await work(args, context)
    context.console.result(args.json ? asJson(document) : lines.join('\n'))
    code = found
  }
  try {
    await (await parser(argv, run)).parseAsync()
    return code
  } catch (error) {
    return explain(error, host, argv.includes('--json'))
  }
}

async function parser(argv: readonly string[], run: Run) {
  const program: Argv<GlobalOptions> = yargs([...argv])
    .scriptName('tenantry')
    .usage(
      '$0 <command>\n\nThe database side of tenantry: migrations, roles, checks, proofs. Each command has a --help of its own.',
    )
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'Write one JSON document to stdout and everything else to stderr',
    })
    .option('config', {
      type: 'string',
      requiresArg: true,
      normalize: true,
      describe: 'The tenantry.config.ts to use. Default: the nearest one in this folder or above it',
    })
  return commands
    .reduce((all, add) => add(all, run), program)
    .completion('completion', 'Prints a script that completes commands in bash and zsh')
    .demandCommand(1, 'Name a command')
    .recommendCommands()
    .strict()
    .version(await version())
    .locale('en')
    .alias('help', 'h')
    .epilogue(
      [
        'Exit codes:',
        '  0    done, and nothing was found',
        '  1    refused or failed',
        '  2    wrong usage: nothing was tried',
        '  3    it ran, and found faults',
        '  130  interrupted: the running transaction was rolled back',
      ].join('\n'),
    )
    .exitProcess(false)
    .fail((message, error: Error | undefined) => {
      throw error === undefined || error.name === 'YError'
        ? new InvalidInputError('', `${message}\nSee tenantry --help`)
        : error
    })
}

/** Reports the error, and returns its exit code. */
function explain(error: unknown, host: Host, json: boolean): ExitCode {
  const console = host.console(json)
  const isOurs = error instanceof TenantryError
  const message = withoutPasswords(error instanceof Error ? error.message : String(error))
  // An error that is not of our classes is a bug in this program, so its stack is shown.
  console.fault(isOurs || !(error instanceof Error) ? message : withoutPasswords(error.stack ?? message))
  if (json) console.result(asJson({ error: { code: isOurs ? error.code : 'unexpected', message } }))
  return error instanceof InvalidInputError ? exit.usage : exit.failed
}

const asJson = (document: object) => JSON.stringify(document, null, 2)

async function version(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
