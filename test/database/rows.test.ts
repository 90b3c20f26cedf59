import fc from 'fast-check'
import pg from 'pg'
import { expect, test } from 'vitest'
import { CommitUnknownError, UnavailableError } from '../../src/core/errors.js'
import type { Executor } from '../../src/core/executor.js'
import { RowShape } from '../../src/database/rows.js'
import { A, backend, call, useToySchema, valueOf } from '../support/toy-schema.js'

const { database, open } = useToySchema()

const values = call(`select
  '2026-01-02 03:04:05.678901+05'::timestamptz, '2026-01-02 03:04:05.678901'::timestamp, '2026-01-02'::date,
  '1 day 02:03:04'::interval, 9007199254740993::bigint, 12345678901234567890.123456789::numeric,
  1.5::float8, 7::smallint, true, null::int, 'x'::text, '{"a": [1, "1"]}'::jsonb, '"1"'::json,
  '\\x00ff'::bytea, array['a"b', null, 'c']::text[], array[1, 2], array[1.10]::numeric[],
  array['2026-01-02 03:04:05.678901+00'::timestamptz], '0190a000-0000-7000-8000-00000000000a'::uuid`)

const read = [
  '2026-01-01 22:04:05.678901+00',
  '2026-01-02 03:04:05.678901',
  '2026-01-02',
  '1 day 02:03:04',
  '9007199254740993',
  '12345678901234567890.123456789',
  1.5,
  7,
  true,
  null,
  'x',
  { a: [1, '1'] },
  '1',
  Buffer.from([0, 255]),
  ['a"b', null, 'c'],
  [1, 2],
  '{1.10}',
  '{"2026-01-02 03:04:05.678901+00"}',
  '0190a000-0000-7000-8000-00000000000a',
]

test('every value is read without loss, dates as text', async () => {
  const [result] = await open().run(A, [values])
  expect(result?.rows).toEqual([read])
})

test('settings of the database and the login do not change the values of rows', async () => {
  const { admin } = database
  const [{ name }] = (await admin.query('select current_database() as name')) as [{ name: string }]
  for (const setting of [
    "datestyle = 'German'",
    "timezone = 'Europe/Amsterdam'",
    "intervalstyle = 'iso_8601'",
    "bytea_output = 'escape'",
  ]) {
    await admin.query(`alter database ${name} set ${setting}`)
  }
  const [result] = await open().run(A, [values])
  expect(result?.rows).toEqual([read])
  // An offset of +00:19:32, which is no date to JavaScript.
  const [old] = await open().run(A, [call("select '1900-01-01 00:00:00+00'::timestamptz")])
  expect(new Date(old?.rows[0]?.[0] as string)).toEqual(new Date('1900-01-01T00:00:00Z'))

  const pool = new pg.Pool({ connectionString: database.appUrl })
  const executor = open({ pool })
  await expect(executor.run(A, [values])).rejects.toThrow(UnavailableError)
  await executor.close()
  await pool.end()
  await admin.query(`alter database ${name} reset all`)
})

test('parsers that the host has set for itself are the host’s', async () => {
  const { INT8 } = pg.types.builtins
  const original = pg.types.getTypeParser(INT8) as (text: string) => unknown
  pg.types.setTypeParser(INT8, () => 'the host’s')
  try {
    const [result] = await open().run(A, [call('select 1::bigint')])
    expect(result?.rows).toEqual([['1']])
  } finally {
    pg.types.setTypeParser(INT8, original)
  }
})

test('a date that goes in comes out as the same instant, whatever zone this process is in', async () => {
  const date = new Date('2026-07-01T12:34:56.789Z')
  const [result] = await open().run(A, [call('select $1::timestamptz, $1::timestamp', date)])
  expect(result?.rows).toEqual([['2026-07-01 12:34:56.789+00', '2026-07-01 12:34:56.789']])
})

test('a row that does not fit its description is not read', () => {
  const shape = new RowShape([{ name: 'a', dataTypeID: 25 }])
  expect(() => {
    shape.read(['1', '2'])
  }).toThrow('described columns')
})

const columnTypes = {
  text: 25,
  int2: 21,
  int4: 23,
  bool: 16,
  int8: 20,
  uuid: 2950,
  instant: 1184,
  jsonb: 3802,
  int4s: 1007,
}

/** A DataRow's body, between other bytes, as it lies in the memory of a socket. */
function bytesOf(texts: readonly (string | null)[]): { bytes: Buffer; start: number; end: number } {
  const parts = [Buffer.from([0xff, 0xff, texts.length >> 8, texts.length & 0xff])]
  for (const text of texts) {
    const length = Buffer.alloc(4)
    const content = Buffer.from(text ?? '')
    length.writeInt32BE(text === null ? -1 : content.length)
    parts.push(length, content)
  }
  const bytes = Buffer.concat([...parts, Buffer.from([0xff, 0xff])])
  return { bytes, start: 2, end: bytes.length - 2 }
}

test('a row is read from its bytes as from the texts that pg makes of them', () => {
  const shape = new RowShape(Object.entries(columnTypes).map(([name, dataTypeID]) => ({ name, dataTypeID })))
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme', maxLength: 2_000 }), fc.string())
  const rows = fc.record({
    text,
    int2: fc.integer({ min: -32_768, max: 32_767 }),
    int4: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    bool: fc.boolean(),
    int8: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    uuid: fc.uuid(),
    instant: fc.constant('2026-11-20 23:07:01.123456+00'),
    json: fc.jsonValue(),
    int4s: fc.array(fc.integer()),
    nulls: fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }),
  })
  fc.assert(
    fc.property(rows, ({ text, int2, int4, bool, int8, uuid, instant, json, int4s, nulls }) => {
      const written = [
        text,
        int2,
        int4,
        bool ? 't' : 'f',
        int8,
        uuid,
        instant,
        JSON.stringify(json),
        `{${int4s.join()}}`,
      ]
      const texts = written.map((one, index) => (nulls[index] === true ? null : Buffer.from(String(one)).toString()))
      const expected: unknown[] = [...texts]
      shape.read(expected)
      const { bytes, start, end } = bytesOf(texts)
      expect(shape.readMessage(bytes, start, end)).toEqual(expected)
    }),
  )
})

test('a row whose lengths do not fit its bytes is not read', () => {
  const shape = new RowShape([
    { name: 'a', dataTypeID: 25 },
    { name: 'b', dataTypeID: 23 },
  ])
  const { bytes, start, end } = bytesOf(['text', '12'])
  expect(shape.readMessage(bytes, start, end)).toEqual(['text', 12])
  for (const wrong of [end - 1, end + 1, end + 2]) expect(() => shape.readMessage(bytes, start, wrong)).toThrow()
  for (const length of [-2, 3, 5, 100, 2 ** 31 - 1]) {
    const changed = Buffer.from(bytes)
    changed.writeInt32BE(length, start + 2)
    expect(() => shape.readMessage(changed, start, end)).toThrow()
  }
  const three = bytesOf(['text', '12', 'more'])
  expect(() => shape.readMessage(three.bytes, three.start, three.end)).toThrow('described columns')
  const noNumber = bytesOf(['text', '1x'])
  expect(() => shape.readMessage(noNumber.bytes, noNumber.start, noNumber.end)).toThrow()
})

/** Of a pool of the host's with one connection. */
async function onHostPool(work: (pool: pg.Pool, executor: Executor) => Promise<void>): Promise<void> {
  const pool = new pg.Pool({ connectionString: database.appUrl, max: 1, options: '-c timezone=UTC' })
  const executor = open({ pool })
  await work(pool, executor)
  await executor.close()
  await pool.end()
}

async function setAsHost(pool: pg.Pool, ...texts: string[]): Promise<void> {
  const client = await pool.connect()
  for (const text of texts) await client.query(text)
  client.release()
}

const changes = [
  "set datestyle = 'German'",
  "set datestyle = 'ISO, DMY'",
  "set timezone = 'Europe/Amsterdam'",
  "set intervalstyle = 'iso_8601'",
  "set client_encoding = 'LATIN1'",
  'set standard_conforming_strings = off',
]

test.each(changes)('a connection on which the host did %s after the proof serves no more', async (change) => {
  await onHostPool(async (pool, executor) => {
    const first = await valueOf(executor, A, backend)
    await setAsHost(pool, change)
    const other = open({ pool })
    expect((await other.run(A, [values]))[0]?.rows).toEqual([read])
    await other.close()
    expect(
      (await executor.run(A, [values, call('select $1', 'é\\'), call("select 'é\\'")])).map(({ rows }) => rows),
    ).toEqual([[read], [['é\\']], [['é\\']]])
    expect(await valueOf(executor, A, backend)).not.toBe(first)
    const transaction = await executor.begin(A)
    expect((await transaction.run([values]))[0]?.rows).toEqual([read])
    await transaction.commit()
  })
})

test('a setting that the host has put back, or that no answer depends on, costs no connection', async () => {
  await onHostPool(async (pool, executor) => {
    const first = await valueOf(executor, A, backend)
    await setAsHost(pool, "set datestyle = 'German'", 'reset datestyle', "set application_name = 'host'")
    expect(await valueOf(executor, A, backend)).toBe(first)
  })
})

test('an answer during which a setting changes is not delivered, and its connection is ended', async () => {
  await database.admin.query(`create function platform.change() returns text language sql security definer as
    $$ select set_config('DateStyle', 'German, DMY', false) $$`)
  await database.admin.query('grant execute on function platform.change() to public')
  await onHostPool(async (_pool, executor) => {
    const first = await valueOf(executor, A, backend)
    await expect(executor.run(A, [call('select platform.change()'), values])).rejects.toThrow(CommitUnknownError)
    expect(await valueOf(executor, A, backend)).not.toBe(first)
    const transaction = await executor.begin(A)
    await expect(transaction.run([call('select platform.change()'), values])).rejects.toThrow(UnavailableError)
    await transaction.rollback()
    expect((await executor.run(A, [values]))[0]?.rows).toEqual([read])
  })
})

test.each([
  ['client_encoding to UTF8', "set client_encoding = 'LATIN1'"],
  ['extra_float_digits to 1', 'set extra_float_digits = 0'],
  ['array_nulls to on', 'set array_nulls = off'],
])('a pool of the host’s that does not set %s is refused, since values would be lost', async (needed, change) => {
  const pool = new pg.Pool({ connectionString: database.appUrl })
  pool.on('connect', (client) => {
    void client.query(change)
  })
  const executor = open({ pool })
  await expect(executor.run(A, [values])).rejects.toThrow(`set ${needed}`)
  await executor.close()
  await pool.end()
})
