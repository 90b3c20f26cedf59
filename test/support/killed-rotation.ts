import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { dataKeysOf } from '../../src/encryption/data-keys.js'
import { keyringProvider } from '../../src/encryption/key-providers.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { compiled } from './compiled.js'

/** A process that rotates the keys of an organization, or of every one under the master key, and is killed at a batch. */
export async function killedRotation(
  { appUrl, systemUrl }: Pick<TestDatabase, 'appUrl' | 'systemUrl'>,
  { keys, what, moment }: { readonly keys: string; readonly what: string; readonly moment: number },
): Promise<void> {
  const program = compiled('test/operations/interrupted-rotation.js')
  const child = spawn(process.execPath, [program, appUrl, systemUrl, keys, what, String(moment)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  const isStopped = once(child.stdout, 'data').then(() => true)
  expect(await Promise.race([isStopped, ended.then(() => false)])).toBe(true)
  child.kill('SIGKILL')
  await ended
}

/** Older data keys of an organization, wrapped by the active one of these master keys. */
export async function addOlderKeys(
  { admin }: Pick<TestDatabase, 'admin'>,
  { keys, orgId, count }: { readonly keys: string; readonly orgId: string; readonly count: number },
): Promise<void> {
  const dataKeys = dataKeysOf(keyringProvider(loadKeyring(keys)))
  const made = Array.from({ length: count }, async () => {
    const keyId = newId()
    return { keyId, ...(await dataKeys.make({ orgId, keyId })) }
  })
  const all = await Promise.all(made)
  await admin.query(
    `insert into platform.org_keys (org_id, id, kek_id, wrapped, state)
     select $1, id, kek, wrapped, 'decrypt_only' from unnest($2::uuid[], $3::text[], $4::bytea[]) as given(id, kek, wrapped) returning 1`,
    [
      orgId,
      all.map(({ keyId }) => keyId),
      all.map(({ masterKeyId }) => masterKeyId),
      all.map(({ wrapped }) => wrapped),
    ],
  )
}
