import type { EngineObserver } from '../../src/engine/observer.ts'

/** For tests that look elsewhere for what an engine does. */
export const UNHEARD: EngineObserver = { onAlert: () => {}, onChange: () => {}, onError: () => {}, onNote: () => {} }
