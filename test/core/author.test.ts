import { expect, test } from 'vitest'
import { makeActor } from '../../src/core/actor.js'
import { authorOf } from '../../src/core/author.js'

const [person, supporter, key, orgId] = ['person', 'supporter', 'key', 'org']
const permissions: string[] = []
const nobody = {
  actorId: undefined,
  actorLabel: undefined,
  onBehalfOf: undefined,
  reason: undefined,
  ipAddress: undefined,
  userAgent: undefined,
  requestId: undefined,
}

test('without an actor it is the backend', () => {
  const author = authorOf({ author: undefined, actor: undefined, request: undefined })
  expect(author).toEqual({ ...nobody, actorKind: 'system', actorLabel: 'backend' })
})

test('a job has its name', () => {
  const actor = makeActor({ kind: 'system', label: 'nightly', permissions, isTrusted: true })
  expect(authorOf({ author: undefined, actor, request: undefined })).toEqual({
    ...nobody,
    actorKind: 'system',
    actorLabel: 'nightly',
  })
})

test('a person has an id and no name', () => {
  const actor = makeActor({ kind: 'user', id: person, orgId, permissions })
  expect(authorOf({ author: undefined, actor, request: undefined })).toEqual({
    ...nobody,
    actorKind: 'user',
    actorId: person,
  })
})

test('a key acts on behalf of the person whom it is made out to', () => {
  const actor = makeActor({ kind: 'api_key', id: key, orgId, label: 'ci', onBehalfOf: person, permissions })
  const author = { ...nobody, actorKind: 'api_key', actorId: key, actorLabel: 'ci', onBehalfOf: person }
  expect(authorOf({ author: undefined, actor, request: undefined })).toEqual(author)
})

test('who acts in the name of a person is the actor, with the reason', () => {
  const impersonation = { by: supporter, reason: 'ticket 7', until: new Date(Date.now() + 60_000) }
  const actor = makeActor({ kind: 'user', id: person, orgId, permissions, impersonation })
  const author = { ...nobody, actorKind: 'user', actorId: supporter, onBehalfOf: person, reason: 'ticket 7' }
  expect(authorOf({ author: undefined, actor, request: undefined })).toEqual(author)
})

test('the request is named', () => {
  const request = { id: 'r-1', ip: '192.0.2.7', userAgent: 'curl/8' }
  const author = authorOf({ author: undefined, actor: undefined, request })
  expect(author).toMatchObject({ requestId: 'r-1', ipAddress: '192.0.2.7', userAgent: 'curl/8' })
})
