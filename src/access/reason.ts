import { z } from 'zod'

/** Why somebody gives an order, for the record: words, whoever takes the order. */
export const reason = z.string().trim().min(1).max(2_000)
