import { describe, expect, test } from 'vitest'
import {
  InvalidInputError,
  IsolationError,
  NotFoundError,
  OrganizationSuspendedError,
  QueryError,
  ScopeClosedError,
  TimeoutError,
  TransactionAbortedError,
  UnsafeStatementError,
} from '../../src/core/errors.js'
import { executorKinds, useExecutors } from '../support/executors.js'
import {
  A,
  B,
  call,
  countItems,
  countNamed,
  failureOf,
  insertItem,
  person,
  suspended,
  unknown,
  valueOf,
} from '../support/toy-schema.js'

// What every executor promises, whatever is behind it.

const open = useExecutors()

const divide = call('select 1 / $1::int', 0)
const boundTo = call('select current_setting($1, true)', 'tenantry.org_id')
const move = (to: string) => call('select platform.move_binding($1)', to)
const valueIn = (results: readonly { rows: unknown[][] }[]): unknown => results[0]?.rows[0]?.[0]

describe.each(executorKinds)('%s', (kind) => {
  test('row security shows the bound organization and no other', async () => {
    const { executor } = await open(kind)
    expect(await valueOf(executor, A, countItems)).toBe(10)
    expect(await valueOf(executor, A, call('select count(*)::int from platform.items where org_id = $1', B.id))).toBe(0)
    expect(await valueOf(executor, B, call('select distinct org_id from platform.items'))).toBe(B.id)
  })

  test('after a failed call the next one succeeds', async () => {
    const { executor } = await open(kind)
    expect(await failureOf(executor.run(A, [divide]))).toBeInstanceOf(InvalidInputError)
    expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  })

  test('all calls take effect, or none', async () => {
    const { executor, stored } = await open(kind)
    await expect(executor.run(A, [insertItem(A, 'half'), divide])).rejects.toThrow(InvalidInputError)
    expect(await stored('half')).toBe(0)
    const results = await executor.run(A, [insertItem(A, 'half'), insertItem(A, 'half'), countNamed('half')])
    expect(results.map((result) => result.rowCount)).toEqual([1, 1, 1])
    expect(results[2]?.rows).toEqual([[2]])
  })

  test('row security refuses a row of another organization', async () => {
    const { executor, stored } = await open(kind)
    await expect(executor.run(A, [insertItem(B, 'smuggled')])).rejects.toThrow(IsolationError)
    expect(await stored('smuggled')).toBe(0)
  })

  test('a suspended organization is told apart from an unknown one, and nothing is written', async () => {
    const { executor, stored } = await open(kind)
    await expect(executor.run(suspended, [insertItem(suspended, 'refused')])).rejects.toThrow(
      OrganizationSuspendedError,
    )
    await expect(executor.run(unknown, [insertItem(unknown, 'refused')])).rejects.toThrow(NotFoundError)
    await expect(executor.run({ kind: 'org', id: "x' or 1=1" }, [countItems])).rejects.toThrow(InvalidInputError)
    const transaction = await executor.begin(unknown)
    await expect(transaction.run([insertItem(unknown, 'refused')])).rejects.toThrow(NotFoundError)
    await transaction.rollback()
    const nested = await executor.begin(suspended)
    const savepoint = nested.savepoint()
    await expect(nested.run([insertItem(suspended, 'refused')])).rejects.toThrow(OrganizationSuspendedError)
    nested.rollbackTo(savepoint)
    await expect(nested.run([insertItem(suspended, 'refused')])).rejects.toThrow(OrganizationSuspendedError)
    await expect(nested.commit()).rejects.toThrow(OrganizationSuspendedError)
    expect(await stored('refused')).toBe(0)
    expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  })

  test('a person sees their own row, and no organization’s', async () => {
    const { executor } = await open(kind)
    const [users] = await executor.run(person, [call('select name from platform.users')])
    expect(users?.rows).toEqual([['Ada']])
    await expect(executor.run(person, [countItems])).rejects.toThrow(IsolationError)
    await expect(executor.run(A, [call('select name from platform.users')])).rejects.toThrow(IsolationError)
  })

  test('a text or a value that is refused is not sent, nor are the calls beside it', async () => {
    const { executor, stored } = await open(kind)
    for (const text of [
      'commit',
      'begin',
      "set tenantry.org_id = 'x'",
      'copy platform.items from stdin',
      'discard all',
    ]) {
      await expect(executor.run(A, [insertItem(A, 'beside'), call(text)])).rejects.toThrow(UnsafeStatementError)
    }
    const unsendable = call('select $1', () => 1)
    await expect(executor.run(A, [insertItem(A, 'beside'), unsendable])).rejects.toThrow(InvalidInputError)
    expect(await stored('beside')).toBe(0)
    expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  })

  test('one text is one statement', async () => {
    const { executor } = await open(kind)
    await expect(executor.run(A, [call('select 1; select 2')])).rejects.toThrow(QueryError)
  })

  test('200 callers of two organizations at once each see their own', async () => {
    const { executor } = await open(kind)
    const seen = await Promise.all(
      Array.from({ length: 200 }, (_, index) => valueOf(executor, index % 2 === 0 ? A : B, boundTo)),
    )
    expect(seen).toEqual(seen.map((_, index) => (index % 2 === 0 ? A.id : B.id)))
  })

  test('SQL that moves the binding is refused, and nothing is written', async () => {
    const { executor, stored } = await open(kind)
    // What a CTE with set_config would do on a server where it cannot be revoked.
    const moving = call(
      `with moved as materialized (select platform.move_binding($1) as binding)
       insert into platform.items (org_id, id, name) select $1, gen_random_uuid(), 'moved' from moved where binding <> ''`,
      B.id,
    )
    await expect(executor.run(A, [moving], { reenter: true })).rejects.toThrow(IsolationError)
    const transaction = await executor.begin(A)
    await transaction.run([insertItem(A, 'moved'), move(B.id)])
    await expect(transaction.commit()).rejects.toThrow(IsolationError)
    expect(await stored('moved')).toBe(0)
    expect(await valueOf(executor, A, boundTo)).toBe(A.id)
  })

  test('a read-only call or transaction writes nothing', async () => {
    const { executor, stored } = await open(kind)
    await expect(executor.run(A, [insertItem(A, 'no')], { readOnly: true })).rejects.toThrow(UnsafeStatementError)
    expect(await executor.run(A, [countNamed('no')], { readOnly: true })).toMatchObject([{ rows: [[0]] }])
    const transaction = await executor.begin(A, { readOnly: true })
    expect(valueIn(await transaction.run([countNamed('no')]))).toBe(0)
    await expect(transaction.run([insertItem(A, 'no')])).rejects.toThrow(UnsafeStatementError)
    await transaction.rollback()
    expect(await stored('no')).toBe(0)
    await executor.run(A, [insertItem(A, 'yes')])
    expect(await stored('yes')).toBe(1)
  })

  test('a result knows its columns and counts, with rows and without', async () => {
    const { executor } = await open(kind)
    const update = call("update platform.items set quantity = 1 where name = 'item'")
    const none = call('select id, name from platform.items where false')
    const returning = call("update platform.items set quantity = 2 where name = 'item' returning name, quantity")
    for (const round of ['parsed', 'prepared']) {
      const [updated, empty, returned] = await executor.run(A, [update, none, returning])
      expect(updated, round).toEqual({ rows: [], columns: [], rowCount: 10 })
      expect(empty).toEqual({ rows: [], columns: ['id', 'name'], rowCount: 0 })
      expect(returned).toMatchObject({ columns: ['name', 'quantity'], rowCount: 10 })
      expect(returned?.rows[0]).toEqual(['item', 2])
    }
  })

  test('what a transaction commits stays, what it rolls back does not', async () => {
    const { executor, stored } = await open(kind)
    const kept = await executor.begin(A)
    await kept.run([insertItem(A, 'kept')])
    expect(valueIn(await kept.run([countNamed('kept')]))).toBe(1)
    await kept.commit()
    const dropped = await executor.begin(A)
    await dropped.run([insertItem(A, 'dropped')])
    await dropped.rollback()
    expect([await stored('kept'), await stored('dropped')]).toEqual([1, 0])
    expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  })

  test('a savepoint takes back what came after it', async () => {
    const { executor, stored } = await open(kind)
    const transaction = await executor.begin(A)
    const first = transaction.savepoint()
    await transaction.run([insertItem(A, 'saved')])
    transaction.release(first)
    const second = transaction.savepoint()
    await expect(transaction.run([insertItem(A, 'taken back'), divide])).rejects.toThrow(InvalidInputError)
    expect(() => transaction.savepoint()).toThrow(TransactionAbortedError)
    transaction.rollbackTo(second)
    await transaction.run([insertItem(A, 'saved')])
    const third = transaction.savepoint()
    await transaction.run([insertItem(A, 'taken back')])
    transaction.rollbackTo(third)
    await transaction.commit()
    expect([await stored('saved'), await stored('taken back')]).toEqual([2, 0])
  })

  test('after a savepoint from before the first call the next statement is bound', async () => {
    const { executor } = await open(kind)
    const transaction = await executor.begin(A)
    const savepoint = transaction.savepoint()
    await transaction.run([countItems])
    transaction.rollbackTo(savepoint)
    expect(valueIn(await transaction.run([call('select distinct org_id from platform.items')]))).toBe(A.id)
    await transaction.commit()
  })

  test('a swallowed error is found at the commit, and nothing is written', async () => {
    const { executor, stored } = await open(kind)
    const transaction = await executor.begin(A)
    await transaction.run([insertItem(A, 'swallowed')])
    await expect(transaction.run([divide])).rejects.toThrow(InvalidInputError)
    await expect(transaction.run([insertItem(A, 'swallowed')])).rejects.toThrow(TransactionAbortedError)
    await expect(transaction.commit()).rejects.toThrow(TransactionAbortedError)
    expect(await stored('swallowed')).toBe(0)
    expect(await valueOf(executor, B, countItems)).toBe(10)
  })

  test('a text or a value that is refused does not fail the transaction', async () => {
    const { executor, stored } = await open(kind)
    const transaction = await executor.begin(A)
    for (const text of ['begin', 'commit', 'rollback']) {
      await expect(transaction.run([call(text)])).rejects.toThrow(UnsafeStatementError)
    }
    await expect(transaction.run([call('select platform.enter_org($1)', A.id)])).rejects.toThrow(UnsafeStatementError)
    await expect(transaction.run([call('select $1', () => 1)])).rejects.toThrow(InvalidInputError)
    await transaction.run([insertItem(A, 'unharmed')])
    await transaction.commit()
    expect(await stored('unharmed')).toBe(1)
  })

  test('after a transaction has ended nothing is sent with it', async () => {
    const { executor, stored } = await open(kind)
    for (const end of ['commit', 'rollback'] as const) {
      const transaction = await executor.begin(A)
      await transaction.run([countItems])
      await transaction[end]()
      // On the one connection, another organization's transaction is open by now.
      const other = await executor.begin(B)
      await other.run([countItems])
      await expect(transaction.run([insertItem(A, 'late')])).rejects.toThrow(ScopeClosedError)
      await expect(transaction.commit()).rejects.toThrow(ScopeClosedError)
      expect(() => transaction.savepoint()).toThrow(ScopeClosedError)
      await expect(transaction.rollback()).resolves.toBeUndefined()
      expect(valueIn(await other.run([call('select distinct org_id from platform.items')]))).toBe(B.id)
      await other.commit()
    }
    expect(await stored('late')).toBe(0)
  })

  test('a call whose signal is aborted already is not sent', async () => {
    const { executor, stored } = await open(kind)
    const signal = AbortSignal.abort()
    await expect(executor.run(A, [insertItem(A, 'aborted')], { signal })).rejects.toThrow(TimeoutError)
    await expect(executor.begin(A, { signal })).rejects.toThrow(TimeoutError)
    expect(await stored('aborted')).toBe(0)
    expect(await valueOf(executor, B, boundTo)).toBe(B.id)
  })
})
