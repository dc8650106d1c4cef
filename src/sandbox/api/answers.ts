/** What a call is answered, before it becomes bytes. */
export interface Answer {
  readonly status: number
  /** Written as JSON; text is written as it is; undefined: no body. */
  readonly body?: unknown
  /** JSON texts of records, which the body gets as its `results`. */
  readonly results?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** Records in the body, for the log of calls. */
  readonly ids?: readonly string[]
}

/** Ends a handler with an answer that is not the usual one. */
export class Refusal extends Error {
  readonly answer: Answer

  constructor(answer: Answer) {
    super(`answered ${answer.status}`)
    this.answer = answer
  }
}

/** HubSpot's error envelope; the correlation id is put in when it is sent. */
export function refuse(status: number, message: string, rest: Readonly<Record<string, unknown>> = {}): Refusal {
  return new Refusal({ status, body: { status: 'error', message, correlationId: '', ...rest } })
}

/** 400, the caller's mistake. */
export function invalid(message: string, code?: string, context?: Readonly<Record<string, readonly string[]>>): Refusal {
  const errors = code ? { errors: [{ message, code, ...(context && { context }) }] } : {}
  return refuse(400, message, { ...errors, category: 'VALIDATION_ERROR' })
}

/** 403 with the scopes that would help. */
export function missingScopes(scopes: readonly string[]): Refusal {
  return refuse(403, "This app hasn't been granted all required scopes to make this call. Read more about required scopes here: https://developers.hubspot.com/scopes.", {
    errors: [{ message: 'One or more of the following scopes are required.', context: { requiredGranularScopes: scopes } }],
    links: { scopes: 'https://developers.hubspot.com/scopes' },
    category: 'MISSING_SCOPES',
  })
}

/** 403 for a property that the caller may not read; null: without a word on which it is. */
export function unreadable(property: string | null): Refusal {
  const message = 'You do not have permission to read one or more of the requested properties.'
  if (property === null) return refuse(403, message, { category: 'MISSING_PERMISSIONS' })
  return refuse(403, `You do not have permission to read property "${property}".`, {
    errors: [{ message, context: { properties: [property] } }],
    category: 'MISSING_PERMISSIONS',
  })
}

/** 404 for a record. */
export function recordNotFound(id: string): Refusal {
  return refuse(404, 'Object not found.  objectId are usually numeric.', { context: { id: [id] }, category: 'OBJECT_NOT_FOUND' })
}

/** 404 for anything that is no record. */
export function notFound(message: string): Refusal {
  return refuse(404, message, { category: 'OBJECT_NOT_FOUND' })
}

const credentials = 'This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview'

/** 401: no token or an unknown one, or one that has ended. */
export function unauthorized(expired: boolean): Answer {
  return refuse(401, `${expired ? 'The OAuth token used to make this call expired' : 'Authentication credentials not found'}. ${credentials}`, {
    category: expired ? 'EXPIRED_AUTHENTICATION' : 'INVALID_AUTHENTICATION',
  }).answer
}

const limitTexts = {
  burst: ['You have reached your ten_secondly_rolling limit.', 'TEN_SECONDLY_ROLLING', 'publicapi:private-app-api-calls-ten-secondly'],
  secondly: ['You have reached your secondly limit.', 'SECONDLY', 'publicapi:private-app-api-calls-secondly'],
  search: ['You have reached your secondly limit.', 'SECONDLY', 'publicapi:crm-search-secondly'],
  daily: ['You have reached your daily limit.', 'DAILY', 'publicapi:private-app-api-calls-daily'],
} as const

/** 429 of a limit, in the wording with a policy's name or in the one with a category alone. */
export function throttled(policy: keyof typeof limitTexts, form: 'policy' | 'category', portalId: number, retryAfter: number | null): Answer {
  const [message, policyName, groupName] = limitTexts[policy]
  const rest = form === 'category'
    ? { category: 'RATE_LIMITS' }
    : { policyName, groupName: `${groupName}:${portalId}`, ...(policy === 'daily' && { requestId: '' }) }
  return {
    status: 429,
    body: { status: 'error', message, ...(form === 'policy' && { errorType: 'RATE_LIMIT' }), correlationId: '', ...rest },
    ...(retryAfter !== null && { headers: { 'Retry-After': String(retryAfter) } }),
  }
}
