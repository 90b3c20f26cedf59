import type { RateLimit } from '../operations/authenticate-api-key.js'

/**
 * The `RateLimit-*` headers for the answer to an API key, the reset in seconds. Empty for a key without a limit, and for a session.
 */
export function rateLimitHeaders(
  rateLimit: Pick<RateLimit, 'limit' | 'remaining' | 'resetAfter'> | undefined,
): Record<string, string> {
  if (rateLimit === undefined) return {}
  const { limit, remaining, resetAfter } = rateLimit
  return {
    'RateLimit-Limit': String(limit),
    'RateLimit-Remaining': String(remaining),
    'RateLimit-Reset': String(resetAfter),
  }
}
