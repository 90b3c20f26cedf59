import { InvalidInputError } from '../../core/errors.js'
import type { AuditHead, AuditPlace, VerifiedChains } from '../../operations/audit-chains.js'
import type { NotSealed } from '../../operations/seal-audit-log.js'
import type { BrokenChain, ChainFault } from '../../operations/verify-audit-log.js'
import { type AddCommand, usageOf } from '../command.js'
import { withBar } from '../progress.js'
import { counted, exit } from '../report.js'
import { bySlug, systemOptions, withSystem } from '../system-login.js'

export const addAudit: AddCommand = (program, run) =>
  program.command('audit', 'Seals the audit logs, and verifies them', (group) =>
    [addSeal, addVerify, addHead]
      .reduce((all, add) => add(all, run), group)
      .demandCommand(1, 'Name a command: seal, verify or head'),
  )

const orgOption = {
  type: 'string',
  requiresArg: true,
  describe: 'The slug of an organization. Default: all of them',
} as const

const addSeal: AddCommand = (group, run) =>
  group.command(
    'seal',
    'Numbers the entries that have no number yet, and chains them',
    (command) =>
      systemOptions(command)
        .usage(
          usageOf(
            'audit seal',
            'Numbers the entries of each organization that have no number yet, and chains them with a key that is derived from',
            'TENANTRY_KEYS: use the keys of the application. It goes in short transactions, may be stopped at any moment, and does',
            'nothing when everything is sealed. Ends with 3 when an organization has an entry that cannot be sealed; the others are',
            'sealed then. `tenantry maintain` seals too.',
          ),
        )
        .option('org', orgOption)
        .option('limit', { type: 'number', requiresArg: true, describe: 'The most entries. Default: 100,000' })
        .example('$0 audit seal', 'every organization'),
    run(async (args, context) => {
      const sealed = await withSystem(context, args, (system) =>
        context.stoppable((signal) =>
          withBar(context.console, 'sealing', async (onProgress) => {
            const id = args.org === undefined ? undefined : (await bySlug(system, args.org)).id
            return system.audit.seal(id, { limit: args.limit, signal, onProgress })
          }),
        ),
      )
      const { entries, organizations, isComplete, notSealed } = sealed
      return {
        lines: [
          entries === 0 && notSealed.length === 0
            ? 'Everything is sealed.'
            : `${counted(entries, 'entry', 'entries')} of ${counted(organizations, 'organization')} sealed`,
          ...(isComplete ? [] : ['There may be more: run it again, or raise --limit.']),
          ...notSealed.map(notSealedLine),
        ],
        document: sealed,
        exit: notSealed.length === 0 ? exit.fine : exit.findings,
      }
    }),
  )

const addVerify: AddCommand = (group, run) =>
  group.command(
    'verify',
    'Finds the first entry of each chain that is not as it was sealed',
    (command) =>
      systemOptions(command)
        .usage(
          usageOf(
            'audit verify',
            'Walks the chain of each organization and names the first entry that is not as it was sealed. Ends with 3 when there is',
            'one. It needs every master key that entries were sealed with, the old ones too, and names those that it lacks. Whoever',
            'has the key could seal a whole chain anew, or cut off its end: an anchor, the earlier output of `tenantry audit head`,',
            'finds that.',
          ),
        )
        .option('org', orgOption)
        .option('anchor', {
          type: 'string',
          requiresArg: true,
          describe: 'An earlier head of that organization, <number>:<hash>',
        })
        .option('from', {
          type: 'string',
          requiresArg: true,
          describe: 'Where a verification was stopped: <organization>:<number>',
        })
        .example('$0 audit verify', 'every organization')
        .example('$0 audit verify --org acme --anchor 1204:02…', 'against a head that was kept elsewhere'),
    run(async (args, context) => {
      const { org, anchor, from } = args
      if (anchor !== undefined && org === undefined)
        throw new InvalidInputError('--anchor', 'belongs to one organization: name it with --org')
      const options = { anchor: anchorOf(anchor), from: placeOf(from) }
      const verified = await withSystem(context, args, (system) =>
        context.stoppable(async (signal) => {
          const found = await withBar(context.console, 'verifying', async (onProgress) => {
            const id = org === undefined ? undefined : (await bySlug(system, org)).id
            return system.audit.verify(id, { ...options, signal, onProgress })
          })
          // Said now: when the command was interrupted, its report is not printed.
          for (const line of stoppedAt(found, args)) context.console.fault(line)
          return found
        }),
      )
      return {
        lines: linesOf(verified),
        document: verified,
        exit: verified.isIntact ? exit.fine : exit.findings,
      }
    }),
  )

const addHead: AddCommand = (group, run) =>
  group.command(
    'head',
    'Prints the last sealed entry of an organization, to be kept elsewhere',
    (command) =>
      systemOptions(command)
        .usage(
          usageOf(
            'audit head --org acme',
            'Prints the number and the hash of the last sealed entry, as `tenantry audit verify --anchor` takes them. Keep them where',
            'nobody who can write to the database can change them.',
          ),
        )
        .option('org', { ...orgOption, demandOption: true, describe: 'The slug of the organization' }),
    run(async (args, context) => {
      const head = await withSystem(context, args, async (system) =>
        system.audit.head((await bySlug(system, args.org)).id),
      )
      return {
        lines: [head === undefined ? 'Nothing is sealed yet: run tenantry audit seal' : `${head.seq}:${head.hash}`],
        document: { head: head ?? null },
      }
    }),
  )

function anchorOf(text: string | undefined): AuditHead | undefined {
  if (text === undefined) return undefined
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]+)$/.exec(text) ?? []
  if (hash === undefined) throw new InvalidInputError('--anchor', 'must be what `tenantry audit head` printed')
  return { seq: Number(seq), hash }
}

function placeOf(text: string | undefined): AuditPlace | undefined {
  if (text === undefined) return undefined
  const [, orgId, seq] = /^([0-9a-f-]{36}):(\d{1,15})$/.exec(text) ?? []
  if (orgId === undefined) throw new InvalidInputError('--from', 'must be what a verification printed that was stopped')
  return { orgId, seq: Number(seq) }
}

const faults: Readonly<Record<Exclude<ChainFault, 'unknown key'>, string>> = {
  edited: 'its content or its hash was changed',
  moved: 'it was not sealed in this place',
  missing: 'it is gone',
  inserted: 'it was inserted with a number of the chain',
  truncated: 'it and all after it are gone',
  head: 'the head in platform.audit_seals is not that of the chain',
  rewritten: 'the chain is not the one of the anchor: it was sealed anew',
}

/** An organization that sealing passed over. */
export const notSealedLine = ({ orgId, code }: NotSealed): string =>
  `${orgId}  not sealed: its next entry failed with ${code}. It may be too large: the owner deletes or shortens it`

function brokenLine({ orgId, fault, seq, id, keyId }: BrokenChain): string {
  const entry = id === undefined ? `entry ${seq}` : `entry ${seq} (${id})`
  return `${orgId}  ${entry}: ${fault === 'unknown key' ? notVerified(keyId) : faults[fault]}`
}

function notVerified(keyId: string | undefined): string {
  const cause = keyId === undefined ? 'its hash names no key' : `no key ${keyId} in TENANTRY_KEYS`
  return `cannot be verified: ${cause}`
}

/** With the options that were given. */
function stoppedAt({ next }: VerifiedChains, given: { org: string | undefined; anchor: string | undefined }): string[] {
  if (next === undefined) return []
  const options = Object.entries({ org: given.org, anchor: given.anchor, from: `${next.orgId}:${next.seq}` })
  const text = options.flatMap(([name, value]) => (value === undefined ? [] : [` --${name} ${value}`])).join('')
  return [`Stopped. Go on with: tenantry audit verify${text}`]
}

/** A chain whose key is not here is told apart from one that was tampered with. */
function sumOf(broken: readonly BrokenChain[]): string {
  const withoutKey = broken.filter(({ keyId }) => keyId !== undefined).length
  const others = broken.length - withoutKey
  return [
    ...(others === 0 ? [] : [`, ${others} broken`]),
    ...(withoutKey === 0 ? [] : [`, ${withoutKey} without their key`]),
  ].join('')
}

function linesOf({ broken, organizations, entries, unsealed, dropped, isAnchored }: VerifiedChains): string[] {
  return [
    ...broken.map(brokenLine),
    `${counted(entries, 'entry', 'entries')} of ${counted(organizations, 'organization')} verified${sumOf(broken)}`,
    ...(dropped === 0 ? [] : [`${counted(dropped, 'entry', 'entries')} went with the months that were dropped`]),
    ...(unsealed === 0 ? [] : [`${counted(unsealed, 'entry', 'entries')} not sealed yet`]),
    ...(isAnchored === false ? ['The anchor could not be compared: its entry went with its month.'] : []),
  ]
}
