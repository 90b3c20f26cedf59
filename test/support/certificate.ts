import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'

/** What a server of a test shows to whoever connects over TLS: a certificate for localhost that nobody signed. */
export function newCertificate(): SecureContext {
  const directory = mkdtempSync(join(tmpdir(), 'tenantry-certificate-'))
  try {
    const [key, certificate] = [join(directory, 'key'), join(directory, 'certificate')]
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
        ...['-subj', '/CN=localhost', '-keyout', key, '-out', certificate],
      ],
      { stdio: 'ignore' },
    )
    return createSecureContext({ key: readFileSync(key), cert: readFileSync(certificate) })
  } finally {
    rmSync(directory, { recursive: true })
  }
}
