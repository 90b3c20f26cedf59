import type { z } from 'zod'
import { parseInput, type Values } from './values.js'

export const parsed = (schema: z.ZodType, input: unknown): Values => parseInput(schema, input) as Values

/** The parsed input with the values that the library sets, in an object without a prototype. */
export const given = (schema: z.ZodType, input: unknown, managed: Values | undefined): Values =>
  Object.assign(parsed(schema, input), managed)

/** Without the id: a secret is sealed for it, but an update does not write it. */
export const without = (values: Values, name: string): Values =>
  Object.fromEntries(Object.entries(values).filter(([property]) => property !== name))
