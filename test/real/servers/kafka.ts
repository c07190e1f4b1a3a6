import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cached, freePort, makeCertificate, run } from './server.ts'

const VERSION = '4.4.0'

/** Users of the listener that asks who one is, by mechanism. */
export const USERS = {
  plain: { username: 'cordon', password: 'plain-7Rk2mV9xQ4tZbN6c' },
  scram: { username: 'cordon', password: 'scram-3Hf8wL5yPd1sJv0e' },
} as const

/** A single broker that is also its own controller, on loopback, whose data outlive its process. */
export interface RealKafka {
  /** Without encryption, for everybody. */
  readonly broker: string
  /** TLS, with a user and a password (PLAIN or SCRAM-SHA-512). */
  readonly secured: string
  /** PEM of the authority that signed the certificate of `secured`. */
  readonly ca: string
  output(): string
  /** kill -9. */
  kill(): Promise<void>
  /** Starts it again on the same data; resolves when it answers. @param password of the user of PLAIN from now on */
  start(password?: string): Promise<void>
  stop(): Promise<void>
}

/** A real Apache Kafka from its published jars, fetched by Maven once. Needs a JDK or JRE of 17 or later. */
export async function startKafka(): Promise<RealKafka> {
  const jars = await fetchJars()
  const folder = await mkdtemp(join(tmpdir(), 'cordon-kafka-'))
  const ports = { open: await freePort(), secured: await freePort(), controller: await freePort() }
  const ca = await makeCertificate(folder, 'broker')
  // The broker wants both in one file.
  await writeFile(join(folder, 'broker.pem'), (await readFile(join(folder, 'broker.key'), 'utf8')) + ca, { mode: 0o600 })
  await writeFile(join(folder, 'log4j2.properties'), LOG4J)
  const config = join(folder, 'server.properties')
  await writeFile(config, properties(folder, ports, USERS.plain.password))
  const java = (heap: string, main: string, ...args: string[]) => [
    `-Xmx${heap}`,
    `-Dlog4j2.configurationFile=${join(folder, 'log4j2.properties')}`,
    '-cp',
    join(jars, '*'),
    main,
    ...args,
  ]
  const scram = `SCRAM-SHA-512=[name=${USERS.scram.username},password=${USERS.scram.password}]`
  const format = ['format', '-t', 'Y29yZG9uLXJlYWwtdGVzdA', '-c', config, '--add-scram', scram]
  await run('java', java('256m', 'kafka.tools.StorageTool', ...format), { timeout: 60_000 })

  let child: ChildProcess | undefined
  let output = ''
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child!.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }
  process.once('exit', () => child?.kill('SIGKILL'))
  const kafka: RealKafka = {
    broker: `127.0.0.1:${ports.open}`,
    secured: `127.0.0.1:${ports.secured}`,
    ca,
    output: () => output,
    kill,
    async start(password = USERS.plain.password) {
      await writeFile(config, properties(folder, ports, password))
      child = spawn('java', java('512m', 'kafka.Kafka', config), { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
      for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk: Buffer) => (output = (output + chunk).slice(-20_000)))
      for (let attempt = 0; attempt < 1_800; attempt++) {
        if (child.exitCode !== null) throw new Error(`kafka ended with ${child.exitCode}\n${output}`)
        if (await listens(ports.open)) return
        await sleep(100)
      }
      throw new Error(`kafka does not listen after 180 s\n${output}`)
    },
    async stop() {
      // Its data are thrown away: nothing is gained by an orderly end.
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
  try {
    await kafka.start()
  } catch (error) {
    await kafka.stop()
    throw error
  }
  return kafka
}

function fetchJars(): Promise<string> {
  return cached(`kafka-${VERSION}`, async (work) => {
    const jars = join(work, 'jars')
    await mkdir(jars)
    await writeFile(join(work, 'pom.xml'), POM)
    const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies'
    await run('mvn', ['-q', '-B', '-f', join(work, 'pom.xml'), goal, `-DoutputDirectory=${jars}`, '-DincludeScope=runtime'], {
      timeout: 550_000,
    })
    return jars
  })
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const answer = (up: boolean) => {
      socket.destroy()
      resolve(up)
    }
    socket.once('connect', () => answer(true))
    socket.once('error', () => answer(false))
  })
}

function properties(folder: string, { open, secured, controller }: Record<'open' | 'secured' | 'controller', number>, password: string) {
  return `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
listeners=OPEN://127.0.0.1:${open},SECURED://127.0.0.1:${secured},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=OPEN://127.0.0.1:${open},SECURED://127.0.0.1:${secured}
inter.broker.listener.name=OPEN
controller.listener.names=CONTROLLER
listener.security.protocol.map=OPEN:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location=${join(folder, 'broker.pem')}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_${USERS.plain.username}="${password}";
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=${join(folder, 'data')}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.backoff.ms=200
`
}

const LOG4J = `
rootLogger.level=WARN
rootLogger.appenderRef.stdout.ref=STDOUT
appender.console.type=Console
appender.console.name=STDOUT
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d] %p %m (%c)%n
`

/** The broker, and a log binding, without which it says nothing. kafka-tools-api is named by the broker but was never published. */
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${VERSION}</version>
      <exclusions><exclusion><groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId></exclusion></exclusions>
    </dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.5</version></dependency>
  </dependencies>
</project>
`
