import { createHash } from 'node:crypto'
import { html } from 'hono/html'
import type { LinkedQuestion } from '../engine/door/approval-links.ts'
import { oneLine } from '../event/text.ts'

const STYLE =
  'body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}dt{font-weight:bold}textarea{width:100%}button{font:inherit;padding:.5rem 1rem;margin-right:1rem}'

/** Nothing is fetched, nothing runs, no other page holds this one, and no other page learns its address, which is a credential. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-robots-tag': 'noindex',
}

/** Asks one person about one action. To look changes nothing: only the form acts, and the page's own address is where it goes. */
export function questionPage({ person, action }: LinkedQuestion) {
  const { verb, target, rule, reason, responder, approval } = action
  const facts = Object.entries(target.facts)
  return page(
    'Cordon asks',
    html`<h1>${verb} ${target.kind} ${oneLine(target.id)}?</h1>
<p>${person}, you are asked to decide. Nothing has been done yet.</p>
<dl>
<dt>Asked for by</dt><dd>${oneLine(rule.title)}, put in force by ${approval?.requester ?? 'unknown'}</dd>
<dt>Why you are asked</dt><dd>${oneLine(reason)}</dd>
<dt>What is known of the ${target.kind}</dt><dd>${facts.map(([name, value]) => html`${name}: ${oneLine(value)}<br>`)}</dd>
<dt>Through</dt><dd>${responder}</dd>
<dt>Until</dt><dd>${approval?.until ?? ''}</dd>
</dl>
<form method="post">
<p><label>Why, for the record<br><textarea name="reason" rows="3" maxlength="2000" required></textarea></label></p>
<p><button name="decision" value="approve">Approve</button><button name="decision" value="reject">Reject</button></p>
</form>`,
  )
}

/** Says how it ended. */
export function answerPage(title: string, text: string) {
  return page(title, html`<h1>${title}</h1><p>${text}</p>`)
}

function page(title: string, body: ReturnType<typeof html>) {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${STYLE}</style></head>
<body>${body}</body></html>`
}
