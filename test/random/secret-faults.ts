import { newId } from '../../src/core/ids.js'
import { openTenancy } from '../../src/tenancy.js'
import { createUser } from '../../src/testing/fixtures.js'
import { orgOf, plainCalls, type SecretCall, sealed, systemOf, TakenBack, threeKeys } from './secret-calls.js'
import { failing } from './secret-marks.js'
import { Contacts, type Hand } from './secret-world.js'

const contact = (hand: Hand) => ({ name: 'Ada', pin: sealed(hand), phone: hand.marks.of('personal value') })

/** Any error is an answer. */
const settled = (...work: readonly Promise<unknown>[]): Promise<unknown> => Promise.allSettled(work)

/**
 * A secret as an argument of another kind, which is refused before it is sent. The names of fields and columns are left out: errors
 * quote them.
 */
const misplaced: readonly ((hand: Hand, mark: string) => unknown)[] = [
  ({ tenancy }, mark) => tenancy.forOrg(mark),
  ({ tenancy }, mark) => tenancy.forUser(mark),
  ({ tenancy }, mark) => tenancy.authenticate(mark),
  ({ tenancy }, mark) => tenancy.refreshSession(mark),
  ({ tenancy }, mark) => tenancy.invitations.preview(mark),
  ({ tenancy, side }, mark) => tenancy.forUser(side.ownerId).invitations.accept(mark),
  (hand, mark) => orgOf(hand).agents.get(mark),
  (hand, mark) => orgOf(hand).agents.list({ after: mark }),
  (hand, mark) => orgOf(hand).agents.list({ limit: mark as unknown as number }),
  (hand, mark) => orgOf(hand).agents.list({ createdAt: { gte: mark as unknown as Date } }),
  (hand, mark) => orgOf(hand).agents.list({ id: { in: mark as unknown as string[] } }),
  (hand, mark) => orgOf(hand).agents.create({ name: 'Ada', username: `${mark} ${mark.toUpperCase()}` }),
  (hand, mark) => orgOf(hand).agents.create({ name: 'Ada', username: 'ada', projectId: mark }),
  (hand, mark) => orgOf(hand).tasks.claim({ owner: 'worker', leaseSeconds: mark as unknown as number }),
  (hand, mark) => orgOf(hand).projects.credentials.reveal(mark),
  (hand, mark) => orgOf(hand).audit.list({ afterSeq: mark as unknown as number }),
  (hand, mark) => orgOf(hand).audit.export({ from: mark }),
  (hand, mark) => orgOf(hand).apiKeys.revoke(mark),
  (hand, mark) => orgOf(hand).apiKeys.create({ userId: mark, name: 'key' }),
  (hand, mark) => orgOf(hand).members.add({ userId: newId(), email: mark, role: 'member' }),
  (hand, mark) => orgOf(hand).transaction(mark as never),
  (hand, mark) => orgOf(hand).transaction(() => Promise.resolve(), { isolation: mark as 'serializable' }),
  (hand, mark) => orgOf(hand).batch(() => [mark]),
  (hand, mark) => orgOf(hand).idempotent(mark, 1n, () => Promise.resolve()),
  (hand, mark) => systemOf(hand).users.setExternalId(mark, 'x'),
  (hand, mark) => systemOf(hand).users.setCredentials(newId(), { passwordHash: 'x', mfaEnabled: mark as never }),
  (hand, mark) => systemOf(hand).keys.rotate(mark),
]

/** Calls that are ended from outside, undone, or made where they cannot succeed. */
export const faultyCalls: Readonly<Record<string, SecretCall>> = {
  ...Object.fromEntries(
    misplaced.map((call, index): [string, SecretCall] => [
      `a secret in another place (${index + 1})`,
      // An async function, so that what it throws is a rejection.
      async (hand) => {
        await call(hand, hand.marks.of('sealed column'))
      },
    ]),
  ),
  'a transaction that is taken back': (hand) =>
    orgOf(hand).transaction(async (org) => {
      const { id } = await org.projects.create({ name: 'One', slug: newId() })
      await org.projects.credentials.create(id, threeKeys(hand))
      await org.repository(Contacts).create(contact(hand))
      await org.apiKeys.create({ userId: hand.side.ownerId, name: newId(), scopes: ['agents:read'] })
      await org.invitations.create({ email: `${newId()}@example.com`, role: 'member' })
      throw new TakenBack()
    }),
  'a savepoint that is taken back': (hand) =>
    orgOf(hand).transaction(async (org) => {
      const values = contact(hand)
      await org.repository(Contacts).create(values)
      await settled(org.transaction((inner) => inner.repository(Contacts).create(values)))
      return org.repository(Contacts).list({ limit: 1 })
    }),
  'a transaction after a failure': (hand) =>
    orgOf(hand).transaction(async (org) => {
      const values = contact(hand)
      await org.repository(Contacts).create(values)
      await settled(org.repository(Contacts).create(values))
      return org.repository(Contacts).create(contact(hand))
    }),
  async 'a scope that has ended'(hand) {
    const org = await orgOf(hand).transaction((inner) => Promise.resolve(inner))
    return org.repository(Contacts).create(contact(hand))
  },
  'two serializable transactions': (hand) => {
    const write = () =>
      orgOf(hand).transaction(
        async (org) => {
          await org.repository(Contacts).count()
          return org.repository(Contacts).create(contact(hand))
        },
        { isolation: 'serializable' },
      )
    return Promise.all([write(), write()])
  },
  'an older revision': async (hand) => {
    const { id } = await orgOf(hand).agents.create({ name: 'Ada', username: newId() })
    return orgOf(hand).agents.update(id, { name: 'Eve' }, { revision: 7 })
  },
  async 'an idempotent call'(hand) {
    const [key, pin] = [newId(), hand.marks.of('sealed column')]
    const once = (request: object) =>
      orgOf(hand).idempotent(key, request, async (org) => {
        const { id } = await org.repository(Contacts).create({ ...contact(hand), pin })
        return { id }
      })
    await once({ pin })
    await once({ pin })
    return once({ pin: hand.marks.of('sealed column') })
  },
  'an idempotent call that answers a secret': (hand) =>
    orgOf(hand).idempotent(newId(), { pin: hand.marks.of('sealed column') }, async (org) => {
      const { id } = await org.repository(Contacts).create(contact(hand))
      return org.repository(Contacts).reveal(id)
    }),
  async 'a provider that fails'(hand) {
    const tenancy = hand.process.with(failing(hand.marks.provider))
    const org = tenancy.forOrg(hand.side.id)
    const system = tenancy.system({ actor: 'scan', reason: 'a provider that fails' })
    const key = newId()
    const owner = { email: `${key}@example.com` }
    return hand.random.pick([
      () => org.repository(Contacts).create(contact(hand)),
      () => org.projects.credentials.reveal(hand.random.pick(hand.side.projects)),
      () => system.keys.rotate(hand.side.id),
      () => system.organizations.provision({ key, name: key, slug: key, plan: 'tier_enterprise', owner }),
    ])()
  },
  'a rotation of the data key': (hand) =>
    settled(
      systemOf(hand).keys.rotate(hand.side.id),
      ...['credentials.rotate', 'contacts.create', 'contacts.update'].map(async (name) => plainCalls[name]?.(hand)),
    ),
  async 'a suspended organization'(hand) {
    await systemOf(hand).organizations.suspend(hand.side.id, 'for a moment')
    try {
      return await orgOf(hand).repository(Contacts).create(contact(hand))
    } finally {
      await systemOf(hand).organizations.reactivate(hand.side.id)
    }
  },
  async 'an aborted call'(hand) {
    const controller = new AbortController()
    const { id } = await orgOf(hand).repository(Contacts).create(contact(hand))
    const org = hand.tenancy.forOrg(hand.side.id, { signal: controller.signal })
    const sent = org.repository(Contacts).update(id, { pin: sealed(hand) })
    controller.abort(new Error(hand.marks.of('sealed column')))
    return sent
  },
  'a statement that is cancelled': (hand) => waiting(hand, 'pg_cancel_backend'),
  'a connection that is ended': (hand) => waiting(hand, 'pg_terminate_backend'),
  // Seldom, since it takes two seconds.
  'a statement that takes too long': (hand) => waiting(hand, hand.random.chance(0.9) ? 'pg_cancel_backend' : undefined),
  'a login that is refused': ({ server, marks, random }) => {
    const password = marks.of('password of a login')
    const { href: url } = Object.assign(new URL(server.appUrl), { username: 'nobody', password })
    return openTenancy({ url, keys: marks.keys, debug: random.chance(0.5) })
  },
  'a master key that is cut off': ({ server, marks }) =>
    openTenancy({ url: server.appUrl, keys: marks.keys.slice(0, -6) }),
  async 'a person who is gone'(hand) {
    const id = await createUser(hand.server.admin)
    await systemOf(hand).users.setCredentials(id, { passwordHash: hand.marks.of('password hash') })
    await systemOf(hand).users.erase(id)
    return systemOf(hand).users.setCredentials(id, { passwordHash: hand.marks.of('password hash') })
  },
  'the audit log': async (hand) => {
    await systemOf(hand).audit.seal(hand.side.id)
    return [await orgOf(hand).audit.list({ afterSeq: 0, limit: 5 }), await orgOf(hand).audit.list({ limit: 5 })]
  },
}

/** A change that waits for a lock until it is ended by that function, or by its own timeout. */
async function waiting(hand: Hand, end: 'pg_cancel_backend' | 'pg_terminate_backend' | undefined): Promise<unknown> {
  const { tenancy, impatient, server, side } = hand
  const { id } = await tenancy.forOrg(side.id).repository(Contacts).create(contact(hand))
  const holder = await server.connect()
  try {
    await holder.query('begin')
    await holder.query('select from vault.contacts where id = $1 for update', [id])
    const from = end === undefined ? impatient : tenancy
    const sent = from.forOrg(side.id).repository(Contacts).update(id, contact(hand))
    if (end !== undefined) await endWhoeverWaits(hand, sent, end)
    return await sent
  } finally {
    await holder.close()
  }
}

/** Ends a backend of the application that waits for a lock, unless the work ends before there is one. */
async function endWhoeverWaits({ server }: Hand, work: Promise<unknown>, end: string): Promise<void> {
  const state = { isSettled: false }
  const settle = () => (state.isSettled = true)
  work.then(settle, settle)
  while (!state.isSettled) {
    const [ended] = await server.admin.query(
      `select ${end}(pid) from pg_stat_activity where usename = 'watched_app' and wait_event_type = 'Lock' limit 1`,
    )
    if (ended !== undefined) return
  }
}
