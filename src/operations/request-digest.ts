import { hash } from 'node:crypto'

/** The same for two requests whose objects have the same values, in whatever order. */
export const digestOf = (request: unknown): Buffer => hash('sha256', JSON.stringify(sorted(request)), 'buffer')

/** Objects with their keys in order, so that equal ones have one text. */
function sorted(value: unknown): unknown {
  if (value instanceof Date || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, one]) => [key, sorted(one)]),
  )
}
