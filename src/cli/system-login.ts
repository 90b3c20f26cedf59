import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import type { Argv } from 'yargs'
import { InvalidInputError, NotFoundError } from '../core/errors.js'
import type { Organization } from '../schema/organizations.js'
import type { System } from '../system.js'
import { type Context, embeddedOption, type GlobalOptions } from './command.js'
import { loginsPlace, type Place } from './sessions.js'

interface SystemArguments {
  readonly embedded?: string | undefined
  readonly url?: string | undefined
  readonly actor?: string | undefined
  readonly reason?: string | undefined
}

/** The options of commands that work across organizations. */
export const systemOptions = <Args extends GlobalOptions>(command: Argv<Args>) =>
  command
    .option('url', {
      type: 'string',
      requiresArg: true,
      describe: 'The url of the login of the system, instead of the one in the environment',
    })
    .option('embedded', embeddedOption)
    .option('actor', {
      type: 'string',
      requiresArg: true,
      describe: 'Who does it, for the audit log. Default: the account that runs this command',
    })
    .option('reason', { type: 'string', requiresArg: true, describe: 'Why, for the audit log' })
    .epilogue(
      [
        'Environment:',
        '  SYSTEM_DATABASE_URL  the login of the system: tenantry login create <name> --system',
        '  TENANTRY_KEYS        the master keys of the application, for commands that use them; without it, in development, those in',
        '                       .tenantry/keys of this folder, which the application has made',
      ].join('\n'),
    )

/** The live organization with that slug. Throws NotFoundError. */
export async function bySlug(system: System, slug: string | undefined): Promise<Organization> {
  if (slug === undefined) throw new InvalidInputError('', 'Name the organization by its slug')
  const organization = await system.organizations.findBySlug(slug)
  if (organization === undefined) throw new NotFoundError('organizations')
  return organization
}

/** Runs `work` as the login of the system, or on the embedded database. */
export async function withSystem<T>(
  context: Context,
  { url, embedded, actor, reason }: SystemArguments,
  work: (system: System) => Promise<T>,
): Promise<T> {
  const { openSystem } = await import('../tenancy.js')
  const { keyringProvider } = await import('../encryption/key-providers.js')
  const { findKeyring, hasGivenKeys, neededKeyring } = await import('../encryption/keyring.js')
  const { cwd, env } = context
  const { openingOptions } = await import('./config-file.js')
  const place = loginOrEmbedded(context, { url, embedded }, 'SYSTEM_DATABASE_URL')
  const masterKeys = {
    keyring: findKeyring(cwd, env),
    provider: () => {
      const keyring = neededKeyring(cwd, env)
      if (!hasGivenKeys(env)) context.console.fault('TENANTRY_KEYS is not set: using .tenantry/keys of this folder.')
      return keyringProvider(keyring)
    },
  }
  const opened = await openSystem(place, openingOptions(await context.project()), masterKeys)
  try {
    return await work(
      opened.system({ actor: actor ?? `command line: ${account()}`, reason: reason ?? 'from the command line' }),
    )
  } finally {
    await opened.close()
  }
}

/** The database of a login that the arguments or the environment name, or an embedded one. */
export const loginOrEmbedded = (
  { cwd, env }: Pick<Context, 'cwd' | 'env'>,
  { url, embedded }: Pick<SystemArguments, 'url' | 'embedded'>,
  variable: string,
): Place => (embedded === undefined ? loginsPlace(url, variable, env) : { embedded: embeddedDirectory(cwd, embedded) })

/** The directory of an embedded database. Throws where there is none: a misspelt name would become a database. */
export function embeddedDirectory(cwd: string, given: string): string {
  const directory = resolve(cwd, given)
  if (existsSync(join(directory, 'PG_VERSION'))) return directory
  throw new InvalidInputError(
    '--embedded',
    `there is no database in ${given}: make it by tenantry migrate up --embedded ${given}`,
  )
}

function account(): string {
  try {
    return userInfo().username
  } catch {
    return 'unknown'
  }
}
