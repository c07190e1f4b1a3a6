import { Posture } from '../../../src/context/posture.ts'

const SOURCE = 'simulated MDM'

/** What every ingest node has learned: facts that hold, that do not, that change while a run goes on, and that nobody knows. */
export function observedPosture(start: number): Posture {
  const posture = new Posture()
  const device = (name: string, enrolled: boolean, after: number) =>
    posture.learn('device', [name], { enrolled }, { time: start + after, source: SOURCE })
  const user = (name: string, mfa: boolean, after: number) =>
    posture.learn('user', [name], { mfa }, { time: start + after, source: SOURCE })
  device('h0', true, 0)
  device('h0', false, 15_000)
  device('h1', true, 10_000)
  user('u0', false, 0)
  user('u0', true, 20_000)
  user('u1', true, 5_000)
  return posture
}
