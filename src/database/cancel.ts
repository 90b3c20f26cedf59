import { type DriverClient, rawConnection } from './driver.js'

const patience = 2_000

/**
 * Asks the server to cancel what the connection runs. Resolves to true when the server has closed the request, which it does
 * after it has signalled the backend: a caller that keeps the connection until then never cancels anybody else's statement.
 * After false the request may still arrive, and the connection must not be used again.
 */
export async function cancel(client: DriverClient): Promise<boolean> {
  const { processID, secretKey } = client
  if (processID === null) return false
  const request = rawConnection({ ssl: client.ssl, sslNegotiation: client.sslNegotiation })
  let isSent = false
  let isFailed = false
  const fail = (): void => {
    isFailed = true
    request.stream.destroy()
  }
  const send = (): void => {
    request.cancel(processID, secretKey)
    isSent = true
  }
  return new Promise((resolve) => {
    const timer = setTimeout(fail, patience)
    request.once('connect', () => {
      if (!client.ssl) send()
      else if (client.sslNegotiation !== 'direct') request.requestSsl()
    })
    request.once('sslconnect', send)
    request.on('error', fail)
    request.once('end', () => {
      clearTimeout(timer)
      resolve(isSent && !isFailed)
    })
    if (client.host.startsWith('/')) request.connect(`${client.host}/.s.PGSQL.${client.port}`)
    else request.connect(client.port, client.host)
  })
}
