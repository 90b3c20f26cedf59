import type { Seeded } from './seed.js'

/** Keys and tokens are shown this once: the database has only their hashes. */
export function tell(seeded: readonly Seeded[]): void {
  for (const { slug, key, session } of seeded) {
    console.log(`${slug}\n  API key        ${key}\n  owner's session ${session}`)
  }
}
