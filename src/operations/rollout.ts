/**
 * The place of an organization among 1 to 100 in the rollout of one flag: the hash is that of Unleash's gradual rollout, with the key of
 * the flag as the group. It never changes, so a higher percentage only adds organizations.
 */
export const bucketOf = (flagKey: string, orgId: string): number => (murmur3(`${flagKey}:${orgId}`) % 100) + 1

/** Whether the rollout has reached the organization. */
export const isInRollout = (flagKey: string, orgId: string, percentage: number): boolean =>
  percentage > 0 && bucketOf(flagKey, orgId) <= percentage

/** MurmurHash3, x86, 32 bits, seed 0, over the UTF-8 bytes. */
export function murmur3(text: string): number {
  const bytes = Buffer.from(text, 'utf8')
  const whole = bytes.length - (bytes.length % 4)
  let hash = 0
  for (let at = 0; at < whole; at += 4) {
    hash ^= scrambled(bytes.readInt32LE(at))
    hash = (Math.imul(rotated(hash, 13), 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let at = bytes.length - 1; at >= whole; at--) tail = (tail << 8) | (bytes[at] ?? 0)
  hash ^= scrambled(tail) ^ bytes.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

const rotated = (word: number, by: number): number => (word << by) | (word >>> (32 - by))
const scrambled = (word: number): number => Math.imul(rotated(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593)
