import { newId } from '../../src/core/ids.js'
import type { Catalogs } from '../../src/operations/catalogs.js'

interface FlagValues {
  readonly enabled?: boolean
  readonly defaultValue?: boolean
  readonly rolloutPercentage?: number
}

/** Makes a flag that is off for everybody, unless told otherwise. Returns its key. */
export async function newFlag(catalog: Catalogs['flags'], values: FlagValues = {}): Promise<string> {
  const flagKey = `flag-${newId()}`
  await catalog.upsert({ flagKey, flagName: 'A flag', enabled: true, ...values })
  return flagKey
}
