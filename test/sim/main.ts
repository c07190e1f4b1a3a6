import { parseArgs } from 'node:util'
import { MUTANTS } from './mutants.ts'
import { hunt, SOUND } from './mutation.ts'
import { inSeveralProcesses, runSeeds } from './seeds.ts'
import { simulate } from './simulate.ts'

const USAGE = `npm run sim -- [--seeds N] [--from S] [--jobs J] [--first]   simulate N seeds from S on; --first: until one differs
               [--embedded]                                 only those of them that live on embedded logs
npm run sim -- --seed S [--trace]                             one seed, with all that happens in it
npm run sim -- --mutants [--seeds N] [--jobs J]               plant each known bug and look for it`

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    step: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    first: { type: 'boolean', default: false },
    embedded: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const jobs = Number(values.jobs)

if (values.help) console.log(USAGE)
else if (values.mutants) await findMutants(Number(values.seeds ?? 500))
else if (values.seed !== undefined) await replay(Number(values.seed))
else {
  const [from, count, step] = [Number(values.from), Number(values.seeds ?? 200), Number(values.step)]
  const range = { from, count, step, first: values.first, embedded: values.embedded }
  const failed = jobs > 1 ? await inSeveralProcesses(range, jobs) : await runSeeds(range)
  process.exitCode = failed > 0 ? 1 : 0
}

async function replay(seed: number): Promise<void> {
  const { differences, events, alerts, trace } = await simulate(seed, values.trace ? (line) => console.log(line) : undefined)
  for (const difference of differences) console.log(difference)
  console.log(`seed ${seed}: ${events} events, ${alerts} alerts, ${differences.length} differences, trace ${trace}`)
  process.exitCode = differences.length > 0 ? 1 : 0
}

async function findMutants(seeds: number): Promise<void> {
  const waiting = [...MUTANTS]
  const worker = async () => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const { seed, said, without } = await hunt(mutant, seeds)
      console.log(`${seed === undefined ? 'NOT FOUND' : `seed ${seed}`.padEnd(9)}  ${mutant.name}`)
      if (seed !== undefined && SOUND.test(without)) continue
      console.log(seed === undefined ? said : `differs without the bug, too:\n${without}`)
      process.exitCode = 1
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
}
