import kafkajs, { type Admin } from 'kafkajs'

const { Kafka, logLevel } = kafkajs
const TOPIC = kafkajs.ConfigResourceTypes.TOPIC

/** Work as the administrator of a broker that asks nobody who he is. @param broker host and port */
export async function administer<T>(broker: string, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

/** What a topic is set to: those settings that it does not have by default, as they are now. */
export async function ownSettings(admin: Admin, topic: string): Promise<Readonly<Record<string, string>>> {
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: TOPIC, name: topic }] })
  const own = resources[0]!.configEntries.filter(({ isDefault }) => !isDefault)
  return Object.fromEntries(own.map(({ configName, configValue }) => [configName, configValue]))
}

/** Changes settings of a topic. Kafka's request replaces all that it has, so the others are said again. */
export async function alterTopic(admin: Admin, topic: string, changes: Readonly<Record<string, string>>): Promise<void> {
  const settings = { ...(await ownSettings(admin, topic)), ...changes }
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: TOPIC, name: topic, configEntries }] })
}
