import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import type { Fault, LabEffect, LabServer } from '../../lab/servers/server.ts'

export interface Mailbox extends LabServer {
  /** What arrived, repeats included, as it came over the wire. */
  readonly mails: readonly string[]
}

/**
 * A mail server (npm smtp-server, RFC 5321) whose mailbox shows each Message-ID once, as the large ones do. Faults are those of the lab's
 * servers; `on` names commands: `EHLO`, `AUTH`, `DATA`.
 */
export async function startMailbox(
  login: { readonly user: string; readonly password: string },
  options: SMTPServerOptions = {},
): Promise<Mailbox> {
  const requests: string[] = []
  const effects: LabEffect[] = []
  const mails: string[] = []
  const faults: { fault: Fault; left: number }[] = []
  const faultFor = (command: string): Fault | undefined => {
    requests.push(command)
    const found = faults.find(({ fault, left }) => left > 0 && command.startsWith(fault.on ?? ''))
    if (found !== undefined) found.left--
    return found?.fault
  }
  const deliver = (mail: string) => {
    mails.push(mail)
    const key = /^Message-ID: (.*)$/im.exec(mail)?.[1] ?? ''
    if (!effects.some((effect) => effect.key === key)) effects.push({ at: Date.now(), what: 'delivered', key, about: '' })
  }
  const server = new SMTPServer({
    authOptional: false,
    hideSTARTTLS: options.key === undefined,
    allowInsecureAuth: true,
    disableReverseLookup: true,
    closeTimeout: 0,
    logger: false,
    ...options,
    onConnect: (_session, done) => done(faultFor('EHLO') === undefined ? null : refusal(421)),
    onAuth({ username, password }, _session, done) {
      faultFor('AUTH')
      if (username === login.user && password === login.password) done(null, { user: username })
      else done(refusal(535))
    },
    async onData(stream, _session, done) {
      const chunks: Buffer[] = []
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
      const fault = faultFor('DATA')
      if (fault?.kind === 'answer') return done(refusal(fault.status, String(fault.body ?? '')))
      if (fault?.kind !== 'drop-before') deliver(Buffer.concat(chunks).toString('utf8'))
      if (fault?.kind === 'delay') await sleep(fault.milliseconds)
      if (fault?.kind === 'drop-before' || fault?.kind === 'drop-after') for (const connection of server.connections) connection.close()
      else done(null, 'kept')
    },
  })
  // Clients that hang up in the middle are part of the tests.
  server.on('error', () => {})
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const { port } = server.server.address() as AddressInfo
  return {
    url: `${options.secure === true ? 'smtps' : 'smtp'}://127.0.0.1:${port}`,
    requests,
    effects,
    mails,
    fault: (fault) => void faults.push({ fault, left: fault.times ?? 1 }),
    stop: () => new Promise((stopped) => server.close(() => stopped())),
  }
}

const refusal = (responseCode: number, message = 'no') => Object.assign(new Error(message), { responseCode })
