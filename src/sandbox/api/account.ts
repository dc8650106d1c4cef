import { type Owner, type Pipeline, type PipelineStage, shown } from '../data/account.ts'
import { activatedTypes } from '../data/object-types.ts'
import { isoTime } from '../store/version.ts'
import { type Answer, invalid, notFound } from './answers.ts'
import { flagParam, limitParam, type Request } from './request.ts'

/** GET /crm/pipelines/{version}/{type}; never paged, and without archived ones. */
export function listPipelines(request: Request): Answer {
  return { status: 200, body: { results: shown(request.table!.pipelines).map((pipeline) => pipelineAnswer(request, pipeline)) } }
}

/** GET /crm/pipelines/{version}/{type}/{id}. */
export function getPipeline(request: Request): Answer {
  return { status: 200, body: pipelineAnswer(request, pipelineOf(request)) }
}

/** GET /crm/pipelines/{version}/{type}/{id}/stages. */
export function listStages(request: Request): Answer {
  const pipeline = pipelineOf(request)
  return { status: 200, body: { results: shown(pipeline.stages).map((stage) => stageAnswer(request, pipeline, stage)) } }
}

function pipelineOf({ table, path }: Request): Pipeline {
  const pipeline = shown(table!.pipelines).find(({ id }) => id === path[0])
  if (!pipeline) throw notFound(`Pipeline ${path[0]} does not exist`)
  return pipeline
}

function pipelineAnswer(request: Request, pipeline: Pipeline): Record<string, unknown> {
  const { id, label, displayOrder, createdAt, updatedAt } = pipeline
  const time = (at: number) => request.table!.time(at)
  const stages = shown(pipeline.stages).map((stage) => stageAnswer(request, pipeline, stage))
  return { label, displayOrder, id, stages, createdAt: time(createdAt), updatedAt: time(updatedAt), archived: false }
}

function stageAnswer(request: Request, pipeline: Pipeline, { id, label, displayOrder, metadata }: PipelineStage): Record<string, unknown> {
  const time = (at: number) => request.table!.time(at)
  return { label, displayOrder, metadata, id, createdAt: time(pipeline.createdAt), updatedAt: time(pipeline.updatedAt), archived: false, writePermissions: 'CRM_PERMISSIONS_ENFORCEMENT' }
}

/** GET /crm/owners/{version}: people and queues, or with `archived=true` those who left. */
export function listOwners(request: Request): Answer {
  const { account, query } = request
  const archived = flagParam(query, 'archived')
  const email = query.get('email')
  const limit = limitParam(query, 100, account.settings.ownersMax)
  const after = query.get('after') ?? ''
  const start = after === '' ? 0 : Number(Buffer.from(after, 'base64').toString())
  if (!Number.isSafeInteger(start)) throw invalid(`Request URI param 'after' with value of '${after}' is not valid`)
  const owners = account.tables.owners
    .filter((owner) => owner.archived === archived && (email === null || owner.email === email) && Number(owner.id) >= start)
    .sort((a, b) => Number(a.id) - Number(b.id))
  const page = owners.slice(0, limit)
  const next = owners[limit]
  return {
    status: 200,
    body: {
      results: page.map((owner) => ownerAnswer(request, owner)),
      ...(next && { paging: { next: { after: Buffer.from(next.id).toString('base64') } } }),
    },
    ids: page.map(({ id }) => id),
  }
}

/** GET /crm/owners/{version}/{id}, by the owner's id or, with `idProperty=userId`, the user's. */
export function getOwner(request: Request): Answer {
  const { account, path, query } = request
  const [asked = ''] = path
  const byUser = query.get('idProperty') === 'userId'
  const owner = account.tables.owners.find((one) => (byUser ? String(one.userId) : one.id) === asked && one.archived === flagParam(query, 'archived'))
  if (!owner) throw notFound(`Owner ${asked} does not exist`)
  return { status: 200, body: ownerAnswer(request, owner), ids: [owner.id] }
}

function ownerAnswer({ account }: Request, owner: Owner): Record<string, unknown> {
  const { id, email, type, firstName, lastName, userId, createdAt, updatedAt, archived, teams } = owner
  const time = (at: number) => isoTime(at, account.settings.zeroMillis)
  return {
    id, email, type, firstName, lastName,
    ...(type === 'PERSON' && { userId: archived ? null : userId, userIdIncludingInactive: userId }),
    createdAt: time(createdAt), updatedAt: time(updatedAt), archived,
    ...(teams.length > 0 && { teams }),
  }
}

/** GET /account-info/{version}/details. */
export function accountDetails({ account }: Request): Answer {
  const { portalId, settings, clock } = account
  const utcOffsetMilliseconds = offsetOf(settings.timeZone, clock.now())
  const minutes = Math.abs(utcOffsetMilliseconds) / 60_000
  const two = (number: number) => String(Math.floor(number)).padStart(2, '0')
  const utcOffset = `${utcOffsetMilliseconds < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`
  const host = settings.hosting === 'eu1' ? 'app-eu1' : 'app'
  return {
    status: 200,
    body: {
      portalId,
      accountType: 'STANDARD',
      timeZone: settings.timeZone,
      companyCurrency: 'EUR',
      additionalCurrencies: ['USD'],
      utcOffset,
      utcOffsetMilliseconds,
      uiDomain: `${host}.hubspot.com`,
      dataHostingLocation: settings.hosting,
    },
  }
}

/** GET /account-info/{version}/api-usage/daily/private-apps. */
export function dailyUsage({ account }: Request): Answer {
  const { clock, settings, usage } = account
  const at = (ms: number) => new Date(ms).toISOString()
  return {
    status: 200,
    body: {
      results: [{
        name: 'private-apps-api-calls-daily',
        usageLimit: settings.daily,
        currentUsage: usage.usedToday(),
        collectedAt: at(clock.now()),
        fetchStatus: 'SUCCESS',
        resetsAt: at(usage.resetsAt()),
      }],
    },
  }
}

/** GET /crm/object-library/{version}/enablement: which of the types that must be activated are. */
export function enablement({ account }: Request): Answer {
  const entries = account.tables.all()
    .filter(({ type }) => activatedTypes.includes(type.name))
    .map(({ type }) => [type.typeId, !account.settings.inactive.includes(type.name)])
  return { status: 200, body: { enablementByObjectTypeId: Object.fromEntries(entries) } }
}

/** Milliseconds a time zone is ahead of UTC at a moment. */
function offsetOf(timeZone: string, at: number): number {
  const name = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' }).formatToParts(at).find(({ type }) => type === 'timeZoneName')?.value
  const [, sign = '+', hours = '0', minutes = '0'] = /GMT(?:([+-])(\d{2}):(\d{2}))?/.exec(name ?? '') ?? []
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000
}
