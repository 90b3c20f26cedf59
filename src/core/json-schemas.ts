import { hash } from 'node:crypto'
import { type Context, createContext, Script } from 'node:vm'
import type { ErrorObject, Options, ValidateFunction } from 'ajv'
import type { JsonObject, JsonValue } from '../schema/shared/json.js'
import { BoundedMap } from './bounded-map.js'
import { type InputFault, InvalidInputError } from './errors.js'

/** Longer schemas are refused. A compiled one takes some ten times the memory of its text. */
const maxSchemaLength = 65_536
/** How long one validation may take. A usual one takes less than a millisecond. */
const validationMs = 500
const compilationMs = 5000
const maxFaults = 20

/** Compiled schemas that are kept, by the hash of their text. */
const capacity = 200
const compiled = new BoundedMap<string, ValidateFunction>(capacity)

/**
 * Throws InvalidInputError where the value does not match the JSON Schema; its fields begin with `field`. The watchdog thread of
 * `node:vm` ends a validation after half a second, whatever its pattern or its recursion does.
 */
export async function assertMatches(schema: JsonObject, value: JsonValue, field: string): Promise<void> {
  const validate = await compile(schema)
  const faults = within(validationMs, field, () => (validate(value) ? [] : (validate.errors ?? [])))
  if (faults.length > 0) throw new InvalidInputError(faults.slice(0, maxFaults).map((fault) => faultOf(fault, field)))
}

/** Throws InvalidInputError for a JSON Schema that cannot be used, with the reason. */
export async function assertSchema(schema: JsonObject, field: string): Promise<void> {
  try {
    const validate = await compile(schema)
    // A reference that leads to itself shows only when it is followed.
    within(validationMs, '', () => validate({}))
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    throw new InvalidInputError(field, error.faults[0]?.reason)
  }
}

async function compile(schema: JsonObject): Promise<ValidateFunction> {
  const text = JSON.stringify(schema)
  const key = hash('sha256', text, 'base64url')
  const known = compiled.get(key)
  if (known !== undefined) return known
  assertUsable(schema, text)
  const { $schema: dialect, $id: _, ...rest } = schema
  const name = dialectOf(dialect)
  const ajv = await (compilers[name] ??= loaders[name]())
  try {
    const validate = within(compilationMs, '', () => ajv.compile(rest))
    compiled.set(key, validate)
    return validate
  } catch (error) {
    if (error instanceof InvalidInputError) {
      // It was stopped in the middle, and is not used again.
      compilers[name] = undefined
      throw error
    }
    throw new InvalidInputError('', `is not a valid JSON Schema: ${reasonOf(error)}`)
  } finally {
    // Else the compiler would keep every schema that it has seen.
    ajv.removeSchema(rest)
  }
}

const options: Options = {
  // Unknown words are annotations, as the specification says, and `format` is one of them.
  strict: false,
  validateFormats: false,
  // `required: ['toString']` asks for a property of the value's own.
  ownProperties: true,
  logger: false,
}

interface Compiler {
  compile(schema: object): ValidateFunction
  removeSchema(schema: object): unknown
}

// Loaded when a schema is first used: that takes 50 ms.
const loaders = {
  'draft-07': async (): Promise<Compiler> => new (await import('ajv')).Ajv(options),
  '2020-12': async (): Promise<Compiler> => new (await import('ajv/dist/2020.js')).Ajv2020(options),
}

type Dialect = keyof typeof loaders
const compilers: Partial<Record<Dialect, Promise<Compiler> | undefined>> = {}

function dialectOf(given: JsonValue | undefined): Dialect {
  if (given === undefined || given === 'https://json-schema.org/draft/2020-12/schema') return '2020-12'
  if (given === 'http://json-schema.org/draft-07/schema#' || given === 'http://json-schema.org/draft-07/schema')
    return 'draft-07'
  throw new InvalidInputError('', 'must be JSON Schema 2020-12 or draft-07')
}

function assertUsable(schema: JsonObject, text: string): void {
  if (text.length > maxSchemaLength) throw new InvalidInputError('', `is longer than ${maxSchemaLength} characters`)
  const open: JsonValue[] = Object.entries(schema).flatMap(([name, value]) => (name === '$id' ? [] : [value]))
  if (schema.$async !== undefined) throw new InvalidInputError('', 'must not have $async')
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next !== 'object' || next === null) continue
    for (const [name, value] of Object.entries(next)) {
      // A compiler would keep the name, also for the schemas of others.
      if (name === '$id' && typeof value === 'string') throw new InvalidInputError('', 'has an $id inside')
      open.push(value)
    }
  }
}

let watched: Context | undefined
const runWork = new Script('work()')

function within<T>(timeout: number, field: string, work: () => T): T {
  watched ??= createContext()
  watched.work = work
  try {
    return runWork.runInContext(watched, { timeout }) as T
  } catch (error) {
    if (error instanceof RangeError) throw new InvalidInputError(field, 'refers to itself without end')
    if ((error as { code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    throw new InvalidInputError(field, 'takes too long to check against its JSON Schema')
  } finally {
    watched.work = undefined
  }
}

function reasonOf(error: unknown): string {
  const { message, missingRef } = error as { message?: string; missingRef?: string }
  if (missingRef !== undefined) return 'it refers to a schema that is not in it'
  return (message ?? '').replace(/^schema is invalid: /, '').slice(0, 300)
}

/** `config.headers.0.name`: a missing or an unknown property is named too. */
function faultOf({ instancePath, params, message }: ErrorObject, field: string): InputFault {
  const { missingProperty, additionalProperty } = params as Readonly<Record<string, string | undefined>>
  const path = instancePath.split('/').slice(1).map(unescaped)
  const places = [...path, missingProperty ?? additionalProperty].filter((place) => place !== undefined)
  return {
    field: [field, ...places.map((place) => place.slice(0, 60))].join('.').slice(0, 300),
    reason:
      missingProperty !== undefined
        ? 'is missing'
        : additionalProperty !== undefined
          ? 'is not a field that can be given'
          : (message ?? 'is not valid'),
  }
}

const unescaped = (place: string): string => place.replaceAll('~1', '/').replaceAll('~0', '~')
