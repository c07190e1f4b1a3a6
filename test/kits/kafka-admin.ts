import kafkajs, { type Admin } from 'kafkajs'
import { until } from './site.ts'

const { Kafka, logLevel } = kafkajs
const TOPIC = kafkajs.ConfigResourceTypes.TOPIC

/** For a broker to act as its controller has decided: it is told of that later. Seconds. */
const PATIENCE = 30

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

/** Changes settings of a topic, until the broker knows. Kafka's request replaces all that it has, so the others are said again. */
export async function alterTopic(admin: Admin, topic: string, changes: Readonly<Record<string, string>>): Promise<void> {
  const settings = { ...(await ownSettings(admin, topic)), ...changes }
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: TOPIC, name: topic, configEntries }] })
  await until(`the settings of ${topic}`, PATIENCE, async () => {
    const known = await ownSettings(admin, topic)
    return Object.entries(changes).every(([name, value]) => known[name] === value)
  })
}

/** Deletes a topic, until the broker knows. */
export async function deleteTopic(admin: Admin, topic: string): Promise<void> {
  await admin.deleteTopics({ topics: [topic] })
  await until(`${topic} is gone`, PATIENCE, async () => !(await admin.listTopics()).includes(topic))
}
