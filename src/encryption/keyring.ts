import { hkdfSync, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { InvalidInputError } from '../core/errors.js'

/** The master keys. The first one seals and signs; the others still open and verify. */
export interface Keyring {
  readonly keys: readonly [MasterKey, ...MasterKey[]]
}

export interface MasterKey {
  readonly id: string
  readonly secret: Uint8Array
}

const keyBytes = 32
const variable = 'TENANTRY_KEYS'
const howTo = `set ${variable} to "<id>:<32 bytes in base64>", several with a comma between, the active one first`

/** Reads `id:base64,id:base64`. */
function parseKeyring(text: string, from = variable): Keyring {
  const [first, ...others] = text.split(',').map((part, index) => parseKey(part.trim(), index + 1, from))
  if (first === undefined) throw new InvalidInputError(from, howTo)
  const ids = new Set([first, ...others].map((key) => key.id))
  if (ids.size !== others.length + 1) throw new InvalidInputError(from, 'two keys have the same id')
  return { keys: [first, ...others] }
}

function parseKey(part: string, place: number, from: string): MasterKey {
  const [, id, encoded = ''] = /^([A-Za-z0-9_-]{1,16}):([A-Za-z0-9+/_-]+=*)$/.exec(part) ?? []
  const secret = Buffer.from(encoded, 'base64')
  // The messages leave out the key, because it would be in every log.
  if (id === undefined) throw new InvalidInputError(from, `key ${place} is not written as <id>:<base64>; ${howTo}`)
  if (secret.length !== keyBytes) {
    const length = `${secret.length} ${secret.length === 1 ? 'byte' : 'bytes'}`
    throw new InvalidInputError(from, `the key ${id} has ${length}, and must have ${keyBytes}; ${howTo}`)
  }
  return { id, secret }
}

const generateKeyring = (): string => `dev:${randomBytes(keyBytes).toString('base64')}`

/** Keys for this process alone: what they sign is invalid afterwards. */
export const passingKeyring = (): Keyring => parseKeyring(generateKeyring())

/**
 * The given keys, or those of the environment. In development a missing key is generated once and kept in `.tenantry/keys`, with a
 * warning; in production it is an error.
 */
export function loadKeyring(
  given: string | { readonly file: string } | undefined,
  env: Readonly<Record<string, string | undefined>> = process.env,
  folder: string = process.cwd(),
): Keyring {
  if (typeof given === 'object') return parseKeyring(textOf(given.file), 'keys.file')
  const text = given ?? env[variable]
  if (text !== undefined && text !== '') return parseKeyring(text, given === undefined ? variable : 'keys')
  if (env.NODE_ENV === 'production') throw new InvalidInputError(variable, `is missing; ${howTo}`)
  return parseKeyring(keysInFile(join(folder, '.tenantry', 'keys')))
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new InvalidInputError('keys.file', `cannot be read (${String((error as NodeJS.ErrnoException).code)})`)
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/** Whether a command was given keys: otherwise it reads those that development keeps in its folder. */
export const hasGivenKeys = (env: Environment): boolean => (env[variable] ?? '') !== ''

/** The keys of the environment of a command, or those that development keeps in its folder. It makes none. */
export function findKeyring(cwd: string, env: Environment): Keyring | undefined {
  const file = join(cwd, '.tenantry', 'keys')
  const isThere = hasGivenKeys(env) || (env.NODE_ENV !== 'production' && existsSync(file))
  return isThere ? loadKeyring(undefined, env, cwd) : undefined
}

/**
 * The same, for a command that needs keys. It throws where there are none: under keys that a command had made for itself, the data of the
 * application's database would be lost with them.
 */
export function neededKeyring(cwd: string, env: Environment): Keyring {
  const keyring = findKeyring(cwd, env)
  if (keyring !== undefined) return keyring
  const folder = env.NODE_ENV === 'production' ? '' : ', and this folder has no .tenantry/keys of an application'
  throw new InvalidInputError(variable, `is missing${folder}: give the command the keys of the application; ${howTo}`)
}

function keysInFile(file: string): string {
  try {
    if (!existsSync(file)) makeKeyFile(file)
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code)
    throw new InvalidInputError(variable, `is missing, and ${file} can be neither read nor created (${code}); ${howTo}`)
  }
}

function makeKeyFile(file: string): void {
  mkdirSync(dirname(file), { recursive: true })
  try {
    writeFileSync(file, `${generateKeyring()}\n`, { mode: 0o600, flag: 'wx' })
    process.emitWarning(`generated keys for development in ${file}; in production, ${howTo}`, 'TenantryWarning')
  } catch (error) {
    // When two processes start together, one creates the file, and both read it.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** A key for one purpose, with the id of its master key. It reveals nothing about the master key or about the keys of other purposes. */
export interface DerivedKey {
  readonly id: string
  readonly secret: Uint8Array
}

/** One for each master key, in their order. */
export function derivedKeys({ keys }: Keyring, purpose: string): [DerivedKey, ...DerivedKey[]] {
  const derive = ({ id, secret }: MasterKey): DerivedKey => ({
    id,
    secret: new Uint8Array(hkdfSync('sha256', secret, '', `tenantry ${purpose}`, keyBytes)),
  })
  const [first, ...others] = keys
  return [derive(first), ...others.map(derive)]
}
