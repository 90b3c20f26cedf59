import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { InvalidInputError } from '../core/errors.js'
import type { KeyToken, ReadSession, RoutedToken, SessionTokens, Tokens } from '../core/scope.js'
import { fromBase62, idOf, inBase62, isTooLarge, numberFromBase62, numberInBase62, textOfId } from './base62.js'
import { type DerivedKey, derivedKeys, type Keyring } from './keyring.js'

/** How tokens begin: `tk_live_` those of API keys, `tki_live_` those of invitations. A secret scanner recognises them by it. */
export interface TokenFormat {
  /** 1 to 12 lower-case letters and digits, a letter first. Default: `tk`. */
  readonly prefix?: string | undefined
  /** Tokens of one environment are refused in the other. Default: `live`. */
  readonly env?: 'live' | 'test' | undefined
}

const [idLength, secretLength, sumLength, generationLength, shownLength] = [22, 43, 6, 6, 8]
const secretBytes = 32

/** The tokens of API keys, invitations and sessions. Each token has exactly one valid text. */
export function tokensOf(keyring: Keyring, { prefix = 'tk', env = 'live' }: TokenFormat = {}): Tokens {
  if (!/^[a-z][a-z0-9]{0,11}$/.test(prefix)) {
    throw new InvalidInputError('tokens.prefix', 'must be 1 to 12 lower-case letters and digits, a letter first')
  }
  const anywhere = new RegExp(`${prefix}[irs]?_${env}_[0-9A-Za-z]{${idLength},}_[0-9A-Za-z]{${secretLength}}`)
  return {
    ...keyTokens(derivedKeys(keyring, 'api keys'), `${prefix}_${env}_`),
    ...invitationTokens(derivedKeys(keyring, 'invitations'), `${prefix}i_${env}_`),
    ...sessionTokens(derivedKeys(keyring, 'sessions'), derivedKeys(keyring, 'stored sessions'), prefix, env),
    isIn: (text) => anywhere.test(text),
  }
}

/**
 * A pepper is a key under which tokens are hashed. It is derived from a master key, so the database does not have it. The first is the
 * active one; the others still read the tokens of older master keys.
 */
type Peppers = readonly [DerivedKey, ...DerivedKey[]]

const hmac = (secret: Uint8Array, text: string): Buffer => createHmac('sha256', secret).update(text).digest()

function keyTokens(peppers: Peppers, head: string): Pick<Tokens, 'makeKey' | 'readKey'> {
  const { make, read } = routedTokens(peppers, head)
  return {
    makeKey(orgId): KeyToken {
      const { token, secret, hash, pepperId } = make(orgId)
      return {
        token,
        keyPrefix: head + secret.slice(0, shownLength),
        lastFour: secret.slice(-4),
        keyHash: hash,
        pepperId,
      }
    },
    readKey: read,
  }
}

function invitationTokens(peppers: Peppers, head: string): Pick<Tokens, 'makeInvitation' | 'readInvitation'> {
  const { make, read } = routedTokens(peppers, head)
  return {
    makeInvitation(orgId) {
      const { token, hash, pepperId } = make(orgId)
      return { token, tokenHash: hash, pepperId }
    },
    readInvitation: read,
  }
}

interface RoutedTokens {
  readonly make: (orgId: string) => { token: string; secret: string; hash: Uint8Array; pepperId: string }
  readonly read: (token: unknown) => RoutedToken | undefined
}

/**
 * `<head><organization>_<secret>_<checksum>`: the organization only says where to look, and the checksum finds mistyped tokens without a
 * query.
 */
function routedTokens(peppers: Peppers, head: string): RoutedTokens {
  const [active] = peppers
  const shape = new RegExp(`^${head}[0-9A-Za-z]{${idLength}}_[0-9A-Za-z]{${secretLength}}_[0-9A-Za-z]{${sumLength}}$`)
  const idEnd = head.length + idLength
  const secretEnd = idEnd + 1 + secretLength
  return {
    make(orgId) {
      const secret = inBase62(randomBytes(secretBytes), secretLength)
      const body = `${head}${textOfId(orgId)}_${secret}`
      const token = `${body}_${numberInBase62(crc32(body), sumLength)}`
      return { token, secret, hash: hmac(active.secret, token), pepperId: active.id }
    },
    read(token) {
      if (typeof token !== 'string' || !shape.test(token)) return undefined
      if (numberFromBase62(token, secretEnd + 1) !== crc32(token.slice(0, secretEnd))) return undefined
      if (isTooLarge(token.slice(idEnd + 1, secretEnd), secretBytes)) return undefined
      const orgId = idOf(token, head.length, idEnd)
      if (orgId === undefined) return undefined
      return { orgId, hashes: peppers.map((pepper) => hmac(pepper.secret, token)), pepperId: active.id }
    },
  }
}

/**
 * `tks_<env>_<person><session><generation>_<code>`, and `tkr_…` for the token that refreshes. The code authenticates the rest, so that
 * a forged token costs no query. It follows from the session and its generation: two that refresh at once get the same successor.
 */
function sessionTokens(
  peppers: Peppers,
  stored: Peppers,
  prefix: string,
  env: string,
): Pick<Tokens, 'makeSession' | 'readSession' | 'readRefresh' | 'isSession'> {
  const heads = { session: `${prefix}s_${env}_`, refresh: `${prefix}r_${env}_` }
  const [active] = peppers
  const [activeStored] = stored
  const codeOf = (pepper: DerivedKey, body: string) => inBase62(hmac(pepper.secret, body), secretLength)

  function reader(head: string): (token: unknown) => ReadSession | undefined {
    const userEnd = head.length + idLength
    const sessionEnd = userEnd + idLength
    const bodyEnd = sessionEnd + generationLength
    const length = bodyEnd + 1 + secretLength
    return (token) => {
      if (typeof token !== 'string' || token.length !== length || !token.startsWith(head)) return undefined
      // Compared as bytes: to decode one code takes half as long as to encode one for each pepper.
      const code = token[bodyEnd] === '_' ? fromBase62(token, secretBytes, bodyEnd + 1) : undefined
      if (code === undefined) return undefined
      const body = token.slice(0, bodyEnd)
      if (!peppers.some((pepper) => timingSafeEqual(hmac(pepper.secret, body), code))) return undefined
      const userId = idOf(token, head.length, userEnd)
      const sessionId = idOf(token, userEnd, sessionEnd)
      const generation = numberFromBase62(token, sessionEnd, bodyEnd)
      if (userId === undefined || sessionId === undefined || Number.isNaN(generation)) return undefined
      return { userId, sessionId, generation, hashes: stored.map((pepper) => hmac(pepper.secret, token)) }
    }
  }

  return {
    makeSession(userId, sessionId, generation) {
      const body = textOfId(userId) + textOfId(sessionId) + numberInBase62(generation, generationLength)
      const under = (index: number): SessionTokens => {
        const [pepper, kept] = [peppers[index] ?? active, stored[index] ?? activeStored]
        const made = (head: string) => `${head}${body}_${codeOf(pepper, head + body)}`
        const [token, refreshToken] = [made(heads.session), made(heads.refresh)]
        return {
          token,
          refreshToken,
          tokenHash: hmac(kept.secret, token),
          refreshHash: hmac(kept.secret, refreshToken),
          pepperId: kept.id,
        }
      }
      return [under(0), ...peppers.slice(1).map((_, index) => under(index + 1))]
    },
    readSession: reader(heads.session),
    readRefresh: reader(heads.refresh),
    isSession: (token) => typeof token === 'string' && token.startsWith(heads.session),
  }
}
