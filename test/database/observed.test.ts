import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, describe, expect, test } from 'vitest'
import { observe } from '../../src/adoption/steps/observe.js'
import { executorKinds, useExecutors } from '../support/executors.js'
import { A, B, call, person } from '../support/toy-schema.js'

const open = useExecutors()

const { up } = observe({ home: 'home', schema: 'shop', tables: [{ name: 'tasks' }] })
const shop = [
  'drop schema if exists shop, home cascade',
  'create schema shop',
  'create schema home',
  'create table shop.tasks (org_id uuid, title text)',
  'grant usage on schema shop to tenantry_app',
  'grant select on shop.tasks to tenantry_app',
  `insert into shop.tasks values ('${A.id}', 'secret')`,
  `create function shop.warn(state text) returns void language plpgsql as
     'begin raise warning using errcode = state, schema = ''shop'', table = ''tasks'', message = ''another one''; end'`,
  'grant execute on function shop.warn(text) to tenantry_app',
  ...up,
]

const span = new AsyncLocalStorage<string>()
const events: unknown[] = []
const listen = (event: unknown) => {
  events.push([span.getStore(), event])
}

afterEach(() => {
  unsubscribe('tenantry:observed', listen)
  events.splice(0)
})

describe.each(executorKinds)('%s', (kind) => {
  test('publishes each warning about an observed table in the context of the call, and no other notice', async () => {
    const { executor, asOwner } = await open(kind)
    for (const statement of shop) await asOwner(statement)
    const tasks = call('select * from shop.tasks')
    await span.run('before anybody listens', () => executor.run(B, [tasks]))
    subscribe('tenantry:observed', listen)
    await span.run('bound right', () => executor.run(A, [tasks]))
    await span.run('another', () => executor.run(B, [tasks, tasks]))
    await span.run('unbound', () => executor.run(person, [tasks]))
    const other = (state: string) => executor.run(A, [call('select shop.warn($1::text)', state)])
    await span.run('other notices', () => Promise.all([other('TN999'), other('01000')]))
    const failing = span.run('failing', () =>
      executor.run(B, [tasks, call('select 1 / (title is null)::int from shop.tasks')]),
    )
    await expect(failing).rejects.toThrow()
    const transaction = await span.run('begin', () => executor.begin(B))
    await span.run('first', () => transaction.run([tasks]))
    await span.run('second', () => transaction.run([tasks]))
    await transaction.rollback()
    const event = (kind: string) => ({ schema: 'shop', table: 'tasks', kind })
    expect(events).toEqual([
      ['another', event('another')],
      ['unbound', event('unbound')],
      ['failing', event('another')],
      ['first', event('another')],
    ])
  })
})
