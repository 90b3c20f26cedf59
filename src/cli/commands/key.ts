import { join } from 'node:path'
import { InvalidInputError, NotFoundError } from '../../core/errors.js'
import type { Org } from '../../org.js'
import type { AddCommand } from '../command.js'
import { embeddedOption, usageOf } from '../command.js'
import { loginOrEmbedded } from '../system-login.js'

export const addKey: AddCommand = (program, run) =>
  program.command('key', 'Creates API keys', (group) =>
    addCreate(group, run).demandCommand(1, 'Name a command: create'),
  )

const addCreate: AddCommand = (group, run) =>
  group.command(
    'create',
    'Creates an API key of an organization, and prints its token once',
    (command) =>
      command
        .usage(
          usageOf(
            'key create',
            'Creates an API key for a member, or for a new service, and prints its token, which is shown only this once. The token is',
            'hashed under TENANTRY_KEYS: use the keys of the application.',
          ),
        )
        .option('org', {
          type: 'string',
          requiresArg: true,
          demandOption: true,
          describe: 'The slug of the organization',
        })
        .option('name', { type: 'string', requiresArg: true, demandOption: true, describe: 'The name of the key' })
        .option('scopes', {
          type: 'string',
          requiresArg: true,
          demandOption: true,
          describe: 'The permissions, with commas between: agents:read,tasks:write',
        })
        .option('member', {
          type: 'string',
          requiresArg: true,
          describe: 'The address of the member it is made out to',
        })
        .option('role', {
          type: 'string',
          requiresArg: true,
          describe: 'The role of a new service that it is made out to, instead of a member',
        })
        .option('rate', { type: 'number', requiresArg: true, describe: 'How many calls an hour. Default: no limit' })
        .option('url', {
          type: 'string',
          requiresArg: true,
          describe: "The url of the application's login, instead of the one in the environment",
        })
        .option('embedded', embeddedOption)
        .epilogue(
          [
            'Environment:',
            "  DATABASE_URL   the application's login",
            '  TENANTRY_KEYS  the master keys of the application',
          ].join('\n'),
        )
        .example(
          '$0 key create --org acme --name ci --role developer --scopes agents:read,agents:write',
          'for a service',
        ),
    run(async ({ org: slug, name, scopes, member, role, rate, url, embedded }, context) => {
      if ((member === undefined) === (role === undefined)) {
        throw new InvalidInputError('', 'Pass either --member <address of a member> or --role <role of a new service>')
      }
      const { openTenancy } = await import('../../tenancy.js')
      const { openingOptions } = await import('../config-file.js')
      const project = await context.project()
      const { hasGivenKeys, neededKeyring } = await import('../../encryption/keyring.js')
      const hasKeys = hasGivenKeys(context.env)
      // Otherwise the tenancy would make keys that no server has.
      neededKeyring(context.cwd, context.env)
      const place = loginOrEmbedded(context, { url, embedded }, 'DATABASE_URL')
      const tenancy = await openTenancy({
        ...('url' in place ? { url: place.url } : { embedded: place.embedded }),
        keys: hasKeys ? context.env.TENANTRY_KEYS : { file: join(context.cwd, '.tenantry', 'keys') },
        ...openingOptions(project),
      })
      try {
        const id = await tenancy.organizations.findIdBySlug(slug)
        if (id === undefined) throw new NotFoundError('organizations')
        const granted = scopes.split(',').map((scope) => scope.trim())
        const org = tenancy.forOrg(id)
        const { userId, orUndone } = await holderOf(org, { name, member, role })
        const { apiKey, token, useless } = await orUndone(async () => {
          const held = await org.actorFor(userId)
          const useless = granted.filter((scope) => held.projectsWith(scope)?.length === 0)
          // It would open nothing and take the name.
          if (useless.length === granted.length)
            throw new InvalidInputError('--scopes', 'has none of the permissions that the role of the member has')
          const created = await org.apiKeys.create({ userId, name, scopes: granted, rateLimitPerHour: rate ?? null })
          return { ...created, useless }
        })
        return {
          lines: [
            token,
            'The token is shown only this once.',
            ...(useless.length === 0
              ? []
              : [`The key cannot use ${useless.join(', ')}: the role of its member does not have them.`]),
            ...(hasKeys
              ? []
              : ['TENANTRY_KEYS is not set: only a server with the keys in .tenantry/keys of this folder accepts it.']),
          ],
          document: { apiKey, token, useless },
        }
      } finally {
        await tenancy.close({ drain: 0 })
      }
    }),
  )

interface Holder {
  readonly userId: string
  /** Removes a service that was made for the key where the key cannot be made. */
  readonly orUndone: <T>(work: () => Promise<T>) => Promise<T>
}

interface AskedHolder {
  readonly name: string
  readonly member: string | undefined
  readonly role: string | undefined
}

/** Not in the transaction of the key: on a cluster, no row can refer to a service of the same transaction. */
async function holderOf(org: Org, { name, member, role = '' }: AskedHolder): Promise<Holder> {
  if (member !== undefined) return { userId: await userOf(org, member), orUndone: (work) => work() }
  const { id, userId } = await org.members.addService({ name, role })
  return {
    userId,
    orUndone: async (work) => {
      try {
        return await work()
      } catch (error) {
        await org.members.remove(id)
        throw error
      }
    },
  }
}

async function userOf(org: Org, address: string): Promise<string> {
  const member = await org.members.findByEmail(address.trim().toLowerCase())
  if (member === undefined)
    throw new InvalidInputError('--member', 'is not the address of a member of this organization')
  return member.userId
}
