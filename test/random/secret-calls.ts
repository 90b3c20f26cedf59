import { eq, type SQL, sql } from 'drizzle-orm'
import { newId } from '../../src/core/ids.js'
import { credentials } from '../../src/schema/index.js'
import { Secret } from '../../src/schema/shared/secret.js'
import type { Org } from '../../src/org.js'
import { createUser } from '../../src/testing/fixtures.js'
import { Contacts, type Hand } from './secret-world.js'
import { contacts } from './watched-server.js'
import { keep } from './world.js'

/** What a transaction is ended with on purpose. */
export class TakenBack extends Error {}

/** Gives what may be printed of its answer: rows, never a token that is shown once. */
export type SecretCall = (hand: Hand) => Promise<unknown>

export const orgOf = ({ tenancy, side }: Hand): Org => tenancy.forOrg(side.id)
export const systemOf = ({ tenancy }: Hand) => tenancy.system({ actor: 'scan', reason: 'a random call' })

export const sealed = ({ marks, random }: Hand): string | Secret => {
  const mark = marks.of('sealed column')
  return random.chance(0.5) ? mark : new Secret(mark)
}

export const threeKeys = (hand: Hand) => ({
  anonKey: sealed(hand),
  serviceRoleKey: sealed(hand),
  jwtSecret: sealed(hand),
})

const someProject = ({ side, random }: Hand) => (side.projects.length > 0 ? random.pick(side.projects) : newId())
const someContact = ({ side, random, marks }: Hand) =>
  side.contacts.length > 0 ? random.pick(side.contacts) : { id: newId(), phone: marks.of('personal value') }
const contact = (hand: Hand, phone = hand.marks.of('personal value')) => ({
  name: 'Ada',
  pin: sealed(hand),
  phone,
})

async function newCredentials(hand: Hand, org: Org): Promise<unknown> {
  const project = await org.projects.create({ name: 'One', slug: newId() })
  const row = await org.projects.credentials.create(project.id, threeKeys(hand))
  keep(hand.side.projects, project.id, hand.random)
  return [project, row]
}

/** The keys of projects. */
const ofCredentials: Readonly<Record<string, SecretCall>> = {
  'credentials.create': (hand) => newCredentials(hand, orgOf(hand)),
  'credentials.create again': (hand) => orgOf(hand).projects.credentials.create(someProject(hand), threeKeys(hand)),
  'credentials.create of no project': (hand) => orgOf(hand).projects.credentials.create(newId(), threeKeys(hand)),
  'credentials.create of no text': (hand) => {
    const mark = hand.marks.of('sealed column')
    const wrong = hand.random.pick([{ text: mark }, [mark], Buffer.from(mark), new Map([[mark, mark]]), `${mark}\0`])
    return orgOf(hand).projects.credentials.create(someProject(hand), { ...threeKeys(hand), anonKey: wrong as string })
  },
  'credentials.rotate with a field too many': (hand) =>
    orgOf(hand).projects.credentials.rotate(someProject(hand), {
      anonKey: sealed(hand),
      extra: sealed(hand),
    } as object),
  'credentials.rotate too long': (hand) =>
    orgOf(hand).projects.credentials.rotate(someProject(hand), {
      jwtSecret: hand.marks.of('sealed column').repeat(500),
    }),
  'credentials.rotate': (hand) =>
    orgOf(hand).projects.credentials.rotate(someProject(hand), { serviceRoleKey: sealed(hand) }),
  'credentials.reveal': (hand) => orgOf(hand).projects.credentials.reveal(someProject(hand)),
  setDatabasePassword: (hand) => orgOf(hand).projects.credentials.setDatabasePassword(someProject(hand), sealed(hand)),
  revealDatabasePassword: (hand) => orgOf(hand).projects.credentials.revealDatabasePassword(someProject(hand)),
  async 'credentials by a person who may not'(hand) {
    const org = orgOf(hand)
    const actor = await org.actorFor(hand.side.readerId)
    const { credentials: keys } = hand.tenancy.forOrg(hand.side.id, { actor }).projects
    const project = someProject(hand)
    return hand.random.pick([
      () => keys.reveal(project),
      () => keys.rotate(project, { anonKey: sealed(hand) }),
      () => keys.create(project, threeKeys(hand)),
      () => keys.setDatabasePassword(project, sealed(hand)),
    ])()
  },
  async 'credentials by Drizzle’s builder'(hand) {
    const mark = hand.marks.of('sealed column')
    return orgOf(hand)
      .db.update(credentials)
      .set({ anonKey: mark as never })
      .where(eq(credentials.projectId, someProject(hand)))
  },
}

/** The keys of language models. */
const ofLlms: Readonly<Record<string, SecretCall>> = {
  'llms.configure': (hand) => orgOf(hand).llms.configure({ llm: 'openai', apiKey: sealed(hand) }),
  'llms.configure of a model that is none': (hand) =>
    orgOf(hand).llms.configure({ llm: 'openai', apiKey: sealed(hand), defaultModel: 'none' }),
  async 'llms.rotateKey and reveal'(hand) {
    const { llms } = orgOf(hand)
    const { id } = await llms.configure({ llm: 'mistral' })
    return [await llms.rotateKey(id, sealed(hand)), await llms.reveal(id)]
  },
  'llms.rotateKey of none': (hand) => orgOf(hand).llms.rotateKey(newId(), sealed(hand)),
}

/** The connection strings of databases. */
const ofDatabases: Readonly<Record<string, SecretCall>> = {
  async 'databases.create, update and reveal'(hand) {
    const { projects } = orgOf(hand)
    const { id } = await projects.create({ name: 'One', slug: newId() })
    const made = await projects.databases.create(id, {
      name: 'main',
      type: 'postgresql',
      connectionString: sealed(hand),
    })
    const changed = await projects.databases.update(id, made.id, { connectionString: sealed(hand) })
    return [made, changed, await projects.databases.reveal(id, made.id)]
  },
  'databases.create of no project': (hand) =>
    orgOf(hand).projects.databases.create(newId(), { name: 'main', type: 'redis', connectionString: sealed(hand) }),
  'databases.create with a field too many': (hand) =>
    orgOf(hand).projects.databases.create(someProject(hand), {
      name: newId(),
      type: 'redis',
      connectionString: sealed(hand),
      extra: sealed(hand),
    } as never),
}

/** Who pays. */
const ofBilling: Readonly<Record<string, SecretCall>> = {
  'billingProfile.set': (hand) =>
    orgOf(hand).billingProfile.set({
      companyName: hand.marks.of('personal value'),
      line1: hand.marks.of('personal value'),
    }),
  'billingProfile.set too long': (hand) =>
    orgOf(hand).billingProfile.set({ phone: hand.marks.of('personal value').repeat(10) }),
  'taxIds.add': (hand) =>
    orgOf(hand).taxIds.add({ type: 'eu_vat', value: hand.marks.of('personal value'), country: 'DE' }),
  async 'taxIds.add twice'(hand) {
    const values = { type: 'eu_vat', value: hand.marks.of('personal value'), country: 'DE' }
    await orgOf(hand).taxIds.add(values)
    return orgOf(hand).taxIds.add(values)
  },
}

/** Statements that the server refuses, with a message that quotes the value or with one that does not. */
const refused: readonly ((phone: string) => SQL)[] = [
  (phone) => sql`select ${phone}::uuid`,
  (phone) => sql`select ${phone}::int + 1`,
  (phone) => sql`select ${phone}::regclass`,
  (phone) => sql`select ${`{"${phone}`}::jsonb`,
  (phone) => sql`select nothing from vault.contacts where phone = ${phone}`,
]

/** A host's own table. */
const ofContacts: Readonly<Record<string, SecretCall>> = {
  async 'contacts.create'(hand) {
    const values = contact(hand)
    const row = await orgOf(hand).repository(Contacts).create(values)
    keep(hand.side.contacts, { id: row.id, phone: values.phone }, hand.random)
    return row
  },
  'contacts.createMany': (hand) =>
    orgOf(hand)
      .repository(Contacts)
      .createMany([contact(hand), contact(hand), contact(hand)]),
  'contacts.createMany with one twice': (hand) => {
    const one = contact(hand)
    return orgOf(hand)
      .repository(Contacts)
      .createMany([contact(hand), one, { ...contact(hand), phone: one.phone }])
  },
  'contacts.create with a phone that is taken': (hand) =>
    orgOf(hand)
      .repository(Contacts)
      .create(contact(hand, someContact(hand).phone)),
  // The server's own message quotes the whole row.
  'contacts.create that a constraint refuses': (hand) =>
    orgOf(hand)
      .repository(Contacts)
      .create({ ...contact(hand), name: 'refused' }),
  'contacts.update': (hand) =>
    orgOf(hand)
      .repository(Contacts)
      .update(someContact(hand).id, { pin: sealed(hand), name: newId() }),
  'contacts.update of a phone': (hand) =>
    orgOf(hand)
      .repository(Contacts)
      .update(newId(), { phone: hand.marks.of('personal value') }),
  'contacts.rename by phone': (hand) => orgOf(hand).repository(Contacts).rename(someContact(hand).phone, 'Eve'),
  'contacts.remove by phone': (hand) => orgOf(hand).repository(Contacts).remove(hand.marks.of('personal value')),
  'contacts.list by phone': (hand) =>
    orgOf(hand)
      .repository(Contacts)
      .list({ phone: { in: [someContact(hand).phone] } }),
  'contacts.reveal': (hand) => orgOf(hand).repository(Contacts).reveal(someContact(hand).id),
  'contacts.reveal of a moved secret': async (hand) => {
    const [from, to] = [contact(hand), contact(hand)]
    const { id } = await orgOf(hand).repository(Contacts).create(from)
    const { id: other } = await orgOf(hand).repository(Contacts).create(to)
    await hand.server.admin.query(
      'update vault.contacts c set pin = (select o.pin from vault.contacts o where o.id = $1) where c.id = $2',
      [id, other],
    )
    return orgOf(hand).repository(Contacts).reveal(other)
  },
  'contacts in a batch': (hand) =>
    orgOf(hand).batch((org) => [
      org.repository(Contacts).create(contact(hand)),
      org.repository(Contacts).create(contact(hand, someContact(hand).phone)),
      org.agents.find(newId()),
    ]),
  ...Object.fromEntries(
    refused.map((statement, index): [string, SecretCall] => [
      `contacts by SQL text (${index + 1})`,
      async (hand) => orgOf(hand).db.execute(statement(someContact(hand).phone)),
    ]),
  ),
  'contacts by Drizzle’s builder': async (hand) =>
    orgOf(hand)
      .db.insert(contacts)
      .values({ orgId: hand.side.id, id: newId(), name: 'Ada', phone: someContact(hand).phone }),
}

/** Tokens, each as it is and damaged. */
const ofTokens: Readonly<Record<string, SecretCall>> = {
  async 'apiKeys.create'(hand) {
    const scopes = ['agents:read', 'tasks:read']
    const { apiKey, token } = await orgOf(hand).apiKeys.create({ userId: hand.side.ownerId, name: newId(), scopes })
    keep(hand.side.apiKeys, { id: apiKey.id, token }, hand.random)
    return apiKey
  },
  async 'apiKeys.create twice'(hand) {
    const values = { userId: hand.side.ownerId, name: newId(), scopes: ['agents:read'] }
    await orgOf(hand).apiKeys.create(values)
    return (await orgOf(hand).apiKeys.create(values)).apiKey
  },
  async 'apiKeys.create with no such permission'(hand) {
    const values = { userId: hand.side.ownerId, name: newId(), scopes: ['nothing:read'] }
    return (await orgOf(hand).apiKeys.create(values)).apiKey
  },
  async 'apiKeys.rotate'(hand) {
    const { id } = hand.random.pick(hand.side.apiKeys)
    const { apiKey, token } = await orgOf(hand).apiKeys.rotate(id)
    keep(hand.side.apiKeys, { id: apiKey.id, token }, hand.random)
    return apiKey
  },
  'apiKeys.revoke': (hand) => orgOf(hand).apiKeys.revoke(hand.random.pick(hand.side.apiKeys).id),
  'apiKeys.list': (hand) => orgOf(hand).apiKeys.list(),
  async authenticateApiKey(hand) {
    const { org, actor } = await hand.tenancy.authenticateApiKey(hand.random.pick(hand.side.apiKeys).token)
    await org.tasks.enqueue({ kind: 'refused' }).catch((error: unknown) => {
      throw Object.assign(error as Error, { actor })
    })
    return actor
  },
  'authenticate with a damaged token': (hand) => {
    const { apiKeys, sessions } = hand.side
    const { token } = hand.random.pick([...apiKeys, ...sessions])
    return hand.tenancy.authenticate(hand.random.pick([`${token}\n`, token.slice(0, -1), `${token}0`, `x${token}`]))
  },
  async 'sessions.start'(hand) {
    const user = hand.tenancy.forUser(hand.side.ownerId, { request: { userAgent: 'curl', ip: '192.0.2.7' } })
    const { session, token, refreshToken } = await user.sessions.start({ activeOrg: hand.side.id })
    keep(hand.side.sessions, { id: session.id, token, refreshToken }, hand.random)
    return session
  },
  'sessions.start of nobody': async (hand) => (await hand.tenancy.forUser(newId()).sessions.start()).session,
  'sessions.start in no organization of theirs': async (hand) =>
    (await hand.tenancy.forUser(hand.side.ownerId).sessions.start({ activeOrg: newId() })).session,
  async authenticateSession(hand) {
    const { session, actor } = await hand.tenancy.authenticateSession(hand.random.pick(hand.side.sessions).token)
    return [session, actor]
  },
  async refreshSession(hand) {
    const { session, token, refreshToken } = await hand.tenancy.refreshSession(
      hand.random.pick(hand.side.sessions).refreshToken,
    )
    keep(hand.side.sessions, { id: session.id, token, refreshToken }, hand.random)
    return session
  },
  'sessions.list': (hand) => hand.tenancy.forUser(hand.side.ownerId).sessions.list(),
  'sessions.revoke': (hand) =>
    hand.tenancy.forUser(hand.side.ownerId).sessions.revoke(hand.random.pick(hand.side.sessions).id),
  'user.auditLog.list': (hand) => hand.tenancy.forUser(hand.side.ownerId).auditLog.list(),
  async 'invitations.create'(hand) {
    const email = `guest-${newId()}@example.com`
    const { invitation, token } = await orgOf(hand).invitations.create({ email, role: 'member' })
    keep(hand.side.invitations, { id: invitation.id, email, token }, hand.random)
    return invitation
  },
  'invitations.create with no such role': (hand) =>
    orgOf(hand).invitations.create({ email: 'guest@example.com', role: 'nobody' }),
  'invitations.create of a member': (hand) =>
    orgOf(hand).invitations.create({ email: `${hand.side.readerId}@example.com`, role: 'member' }),
  async 'invitations.resend'(hand) {
    const { id, email } = hand.random.pick(hand.side.invitations)
    const { invitation, token } = await orgOf(hand).invitations.resend(id)
    keep(hand.side.invitations, { id, email, token }, hand.random)
    return invitation
  },
  'invitations.preview': (hand) => hand.tenancy.invitations.preview(hand.random.pick(hand.side.invitations).token),
  'invitations.accept of somebody else': (hand) =>
    hand.tenancy.forUser(hand.side.readerId).invitations.accept(hand.random.pick(hand.side.invitations).token),
  async 'invitations.accept'(hand) {
    const email = `guest-${newId()}@example.com`
    const { token } = await orgOf(hand).invitations.create({ email, role: 'member' })
    const userId = await createUser(hand.server.admin, { email })
    return hand.tenancy.forUser(userId).invitations.accept(token)
  },
  'invitations.list': (hand) => orgOf(hand).invitations.list(),
}

/** What the system sets of people. */
const ofPeople: Readonly<Record<string, SecretCall>> = {
  'users.setCredentials': (hand) =>
    systemOf(hand).users.setCredentials(hand.side.readerId, { passwordHash: hand.marks.of('password hash') }),
  'users.setCredentials of nobody': (hand) =>
    systemOf(hand).users.setCredentials(newId(), { passwordHash: hand.marks.of('password hash') }),
  'users.setCredentials too long': (hand) =>
    systemOf(hand).users.setCredentials(hand.side.readerId, {
      passwordHash: hand.marks.of('password hash').repeat(50),
    }),
  'users.find': (hand) => systemOf(hand).users.find(hand.side.readerId),
  async 'users.passwordHash'(hand) {
    await systemOf(hand).users.passwordHash(hand.side.readerId)
  },
}

export const plainCalls: Readonly<Record<string, SecretCall>> = {
  ...ofCredentials,
  ...ofLlms,
  ...ofDatabases,
  ...ofBilling,
  ...ofContacts,
  ...ofTokens,
  ...ofPeople,
}
