import { InvalidInputError } from '../../core/errors.js'
import type { KeyOptions } from '../../operations/keys.js'
import type { MasterKeyStatus } from '../../operations/master-keys.js'
import { type AddCommand, type Context, usageOf } from '../command.js'
import { withBar } from '../progress.js'
import { counted, exit } from '../report.js'
import { bySlug, systemOptions, withSystem } from '../system-login.js'

export const addKeys: AddCommand = (program, run) =>
  program.command('keys', 'The keys of sealed columns: makes, rotates, counts and retires them', (group) =>
    [addEnsure, addRotate, addStatus, addRetire]
      .reduce((all, add) => add(all, run), group)
      .demandCommand(1, 'Name a command: ensure, rotate, status or retire'),
  )

const more = 'There is more: run it again.'

const addEnsure: AddCommand = (group, run) =>
  group.command(
    'ensure',
    'Makes a key for each organization that has none',
    (command) =>
      systemOptions(command).usage(
        usageOf(
          'keys ensure',
          'Makes a key for the sealed columns of each organization that has none, as `org create` does for new ones.',
        ),
      ),
    run(async (args, context) => {
      const ensured = await withSystem(context, args, (system) =>
        stoppableWithBar(context, 'keys', (options) => system.keys.ensure(options)),
      )
      const { made, isComplete } = ensured
      const line = made === 0 ? 'Every organization has a key.' : `${counted(made, 'organization')} got a key`
      return { lines: isComplete ? [line] : [line, more], document: ensured }
    }),
  )

const addRotate: AddCommand = (group, run) =>
  group.command(
    'rotate',
    'Gives organizations new keys, and seals everything again',
    (command) =>
      systemOptions(command)
        .usage(
          usageOf(
            'keys rotate',
            'Gives every organization a new key, seals everything again in small batches, and destroys the older keys once',
            'nothing is sealed with them. It may be stopped at any moment, and goes on when it is run again. With --master it',
            'wraps the keys of the organizations under the active master key instead, and nothing is sealed again.',
          ),
        )
        .option('org', { type: 'string', requiresArg: true, describe: 'The slug of the only organization to rotate' })
        .option('master', { type: 'boolean', default: false, describe: 'Wrap the keys under the active master key' })
        .example('$0 keys rotate --master', 'after a new master key was put in front'),
    run(async ({ org, master, ...args }, context) => {
      if (master && org !== undefined) throw new InvalidInputError('', 'Pass either --org or --master')
      if (master) {
        const rewrapped = await withSystem(context, args, (system) =>
          stoppableWithBar(context, 'keys', (options) => system.keys.rewrap(options)),
        )
        const line = `${counted(rewrapped.keys, 'key was', 'keys were')} wrapped under the active master key`
        const { left } = rewrapped
        return {
          lines: [
            line,
            ...(left === 0
              ? []
              : [
                  `${counted(left, 'key does', 'keys do')} not open with the keys of this process, and stay as they are`,
                ]),
            ...(rewrapped.isComplete ? [] : [more]),
          ],
          document: rewrapped,
        }
      }
      const rotated = await withSystem(context, args, async (system) => {
        const orgId = org === undefined ? undefined : (await bySlug(system, org)).id
        return stoppableWithBar(context, 'organizations', (options) => system.keys.rotate(orgId, options))
      })
      const { since, isResumed, organizations, rows, destroyed, left, isComplete } = rotated
      return {
        lines: [
          ...(isResumed ? [`Went on with the rotation of ${since.toISOString()}`] : []),
          `${counted(organizations, 'organization')} rotated, ${counted(rows, 'row')} sealed again, ${counted(destroyed, 'older key')} destroyed`,
          ...(left === 0
            ? []
            : [
                `${counted(left, 'value')} still under an older key, which is kept: they do not open, or are in a column that this build does not know`,
              ]),
          ...(isComplete ? [] : [more]),
        ],
        document: rotated,
      }
    }),
  )

const addStatus: AddCommand = (group, run) =>
  group.command(
    'status',
    'Counts what still needs each master key',
    (command) =>
      systemOptions(command).usage(
        usageOf(
          'keys status',
          'Counts the data keys, API keys, sessions, invitations and audit entries of each master key, and says whether the one in',
          'TENANTRY_KEYS is right: it opens a data key that it wrapped, or has sealed an entry. Ends with 3 when one is not.',
          'Of a key under which fewer than two were made it says neither, unless one fits.',
        ),
      ),
    run(async (args, context) => {
      const keys = await withSystem(context, args, (system) => system.keys.status())
      const isWrong = keys.some((key) => key.isRight === false)
      return { lines: keys.map(describe), document: { keys }, exit: isWrong ? exit.findings : exit.fine }
    }),
  )

const addRetire: AddCommand = (group, run) =>
  group.command(
    'retire [id]',
    'Checks that a master key can be removed',
    (command) =>
      systemOptions(command)
        .usage(
          usageOf(
            'keys retire <id>',
            'Says whether a master key can be removed from TENANTRY_KEYS: no data key, API key, session or invitation may need it any',
            'more. Audit entries that were numbered under it are counted: keep the key for `audit verify`, outside of the servers.',
          ),
        )
        .positional('id', { type: 'string', describe: 'The id of the master key' })
        .option('drop-keys', {
          type: 'boolean',
          default: false,
          describe: 'End the API keys, sessions and invitations that need it, and list the API keys',
        }),
    run(async ({ id, dropKeys, ...args }, context) => {
      if (id === undefined) throw new InvalidInputError('', 'Name the master key: tenantry keys retire <id>')
      const retired = await withSystem(context, args, (system) => system.keys.retire(id, { dropKeys }))
      const { apiKeys, sessions, invitations, auditEntries } = retired
      return {
        lines: [
          ...apiKeys.map(({ orgId, id, name }) => `revoked the API key ${id} of ${orgId}: ${name}`),
          ...(sessions + invitations === 0
            ? []
            : [`ended ${counted(sessions, 'session')} and ${counted(invitations, 'invitation')}`]),
          auditEntries === 0
            ? `Nothing needs ${retired.id} any more: remove it from TENANTRY_KEYS`
            : `Remove ${retired.id} from the servers. Keep it for \`audit verify\`: ${counted(auditEntries, 'entry was', 'entries were')} numbered under it.`,
        ],
        document: retired,
      }
    }),
  )

const describe = (key: MasterKeyStatus): string => {
  const { id, isActive, isKnown, isRight, dataKeys, apiKeys, sessions, invitations, auditEntries, lastUsedAt } = key
  const marks = [
    ...(isActive ? ['active'] : []),
    ...(isKnown ? [] : ['not in TENANTRY_KEYS']),
    ...(isRight === true ? ['right'] : []),
    ...(isRight === false ? ['not the one that this database was used with'] : []),
  ]
  const counts = [
    counted(dataKeys, 'data key'),
    counted(apiKeys, 'API key'),
    counted(sessions, 'session'),
    counted(invitations, 'invitation'),
    counted(auditEntries, 'audit entry', 'audit entries'),
  ].join(', ')
  const used = lastUsedAt === null ? '' : `, last used ${lastUsedAt.toISOString()}`
  return `${id}${marks.length === 0 ? '' : ` (${marks.join(', ')})`}  ${counts}${used}`
}

/** With a bar on a terminal. Stops between two batches when the command is interrupted. */
const stoppableWithBar = <T>(context: Context, title: string, work: (options: KeyOptions) => Promise<T>): Promise<T> =>
  context.stoppable((signal) => withBar(context.console, title, (onProgress) => work({ signal, onProgress })))
