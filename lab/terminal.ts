import { styleText } from 'node:util'

type Format = Parameters<typeof styleText>[0]

/** Plain text for people, with colours only where the output is a terminal that wants them (NO_COLOR). */
export const style = (format: Format, text: string): string => styleText(format, text, { stream: process.stdout, validateStream: true })

export function say(line = ''): void {
  process.stdout.write(`${line}\n`)
}
