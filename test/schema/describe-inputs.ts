import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import type { Kind } from './input-kinds.js'

export type Fields = Readonly<Record<string, Kind>>

/** What an input schema takes: every property with its kind. */
export interface Spec {
  readonly schema: z.ZodObject
  readonly required?: Fields
  readonly optional?: Fields
  /** Optional, and null empties the column. */
  readonly nullable?: Fields
  /** Columns that only the library writes. */
  readonly managed?: readonly string[]
}

const nobodys = ['orgId', 'org_id', 'createdAt', 'updatedAt', 'deletedAt', 'createdBy', '__proto__']

/** Tests each schema against its spec: each property with good and bad values, and everything that is no property. */
export const describeInputs = (specs: Readonly<Record<string, Spec>>) => {
  describe.each(Object.entries(specs))('%s', (_, spec) => {
    testInput(spec)
  })
}

function testInput(spec: Spec): void {
  const { schema, required = {}, optional = {}, nullable = {}, managed = [] } = spec
  const fields = { ...required, ...optional, ...nullable }
  const least = Object.fromEntries(Object.entries(required).map(([name, kind]) => [name, kind.good[0]]))

  test('takes the least that it needs, and adds nothing', () => {
    expect(Object.keys(schema.parse(least)).sort()).toEqual(Object.keys(least).sort())
  })

  test('knows these properties and no others', () => {
    expect(Object.keys(schema.shape).sort()).toEqual(Object.keys(fields).sort())
  })

  test('refuses what is not for the caller to give', () => {
    for (const name of [...('id' in fields ? [] : ['id']), ...nobodys, ...managed]) {
      const values = Object.defineProperty({ ...least }, name, { value: 'x', enumerable: true })
      expect.soft(schema.safeParse(values).error?.issues).toMatchObject([{ code: 'unrecognized_keys', keys: [name] }])
    }
  })

  test('refuses everything but an object', () => {
    for (const value of [null, undefined, 'x', 7, [], [least]]) {
      expect.soft(schema.safeParse(value).success, shown(value)).toBe(false)
    }
  })

  test('needs what is required', () => {
    for (const name of Object.keys(required)) {
      const others = Object.entries(least).filter(([other]) => other !== name)
      expect.soft(refusedAt(schema, Object.fromEntries(others))).toContain(name)
    }
  })

  test.each(Object.entries(fields))('takes and refuses the right values of %s', (name, kind) => {
    const { good, bad, outcome = (value: unknown) => value } = kind
    for (const value of good) {
      expect.soft(schema.parse({ ...least, [name]: value })[name]).toEqual(outcome(value))
    }
    for (const value of name in nullable ? bad : [...bad, null]) {
      expect.soft(refusedAt(schema, { ...least, [name]: value }), `${name} ${shown(value)}`).toContain(name)
    }
    if (name in nullable) expect(schema.parse({ ...least, [name]: null })[name]).toBeNull()
  })
}

const refusedAt = (schema: z.ZodType, values: unknown): unknown[] =>
  (schema.safeParse(values).error?.issues ?? []).map((issue) => issue.path[0])

const shown = (value: unknown): string => String(value).slice(0, 60)
