import { z } from 'zod'
import { duration } from '../../settings/duration.ts'
import { ENCRYPTED_HINT, type Endpoint, encrypted, endpoint } from '../endpoint.ts'
import { type SecretRef, secretRef } from '../secret.ts'
import type { TemplateData } from '../template.ts'
import type { Definition } from './definition.ts'

type Setting = Definition['settings'][string]

/** What cordon.yml says of a declared responder. */
export type Settings = Endpoint & Readonly<Record<string, unknown>>

/** The schema of the settings and secrets that a file declares, beside those that every responder has. */
export function settingsSchema(definition: Definition): z.ZodType<Settings> {
  const { url, auth, settings, secrets, webhook } = definition
  const asksForTokenUrl = auth !== undefined && 'oauth2' in auth && auth.oauth2.token_path === undefined
  const schema = z
    .strictObject({
      ...endpoint,
      ...(url === undefined ? {} : { url: endpoint.url.default(url) }),
      ...(asksForTokenUrl ? { token_url: z.url({ protocol: /^https?$/ }).describe('where access tokens are issued') } : {}),
      ...Object.fromEntries(Object.entries(settings).map(([name, setting]) => [name, settingSchema(setting)])),
      ...Object.fromEntries(Object.entries(secrets).map(([name, about]) => [name, secretRef.describe(about)])),
      ...(webhook === undefined ? {} : { webhook_secret: secretRef.optional().describe(webhook.about) }),
    })
    .refine((config) => encrypted(config as unknown as Endpoint), ENCRYPTED_HINT)
  return schema as unknown as z.ZodType<Settings>
}

const SCHEMAS: Readonly<Record<Setting['type'], z.ZodType>> = { text: z.string().min(1), number: z.number(), flag: z.boolean(), duration }

function settingSchema({ type, of, default: fallback, about }: Setting): z.ZodType {
  const schema = of === undefined ? SCHEMAS[type] : z.enum(of)
  return (fallback === undefined ? schema : schema.prefault(fallback)).describe(about)
}

/** The settings as `config.*`: durations in milliseconds. */
export function settingValues(definition: Definition, config: Settings): TemplateData {
  return Object.fromEntries(Object.keys(definition.settings).map((name) => [`config.${name}`, String(config[name])]))
}

/** Where the secrets are, by name. */
export function secretRefs(definition: Definition, config: Settings): Readonly<Record<string, SecretRef>> {
  return Object.fromEntries(Object.keys(definition.secrets).map((name) => [name, config[name] as SecretRef]))
}
